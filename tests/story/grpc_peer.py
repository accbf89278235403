"""gRPC by programs that are not ours: grpc_peer.py serve PORT | grpc_peer.py ask ADDRESS PORT AUTHORITY_PEM

The server has /story.Echo/ with One (a word, back), Fail (a status), Many (a count, so many words) and Talk (each word back
as it comes). The client calls all of them and prints what comes.
"""

import asyncio
import sys

import grpc


class Echo(grpc.GenericRpcHandler):
    def service(self, call):
        match call.method:
            case "/story.Echo/One":
                return grpc.unary_unary_rpc_method_handler(self.one)
            case "/story.Echo/Fail":
                return grpc.unary_unary_rpc_method_handler(self.fail)
            case "/story.Echo/Many":
                return grpc.unary_stream_rpc_method_handler(self.many)
            case "/story.Echo/Talk":
                return grpc.stream_stream_rpc_method_handler(self.talk)
        return None

    async def one(self, request, context):
        context.set_trailing_metadata((("story-trailer", "at the end"),))
        return request

    async def fail(self, request, context):
        await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such thing")

    async def many(self, request, context):
        for number in range(int(request)):
            yield f"word {number}".encode()

    async def talk(self, requests, context):
        async for request in requests:
            yield request


async def serve(port):
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


async def ask(address, port, authority):
    with open(authority, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    named = (("grpc.ssl_target_name_override", "www.shop.example"), ("grpc.default_authority", "www.shop.example"))
    async with grpc.aio.secure_channel(f"{address}:{port}", credentials, options=named) as channel:
        call = channel.unary_unary("/story.Echo/One")(b"hello")
        print("one:", await call, dict(await call.trailing_metadata()).get("story-trailer"))
        large = bytes(number % 251 for number in range(1_000_000))
        print("large:", await channel.unary_unary("/story.Echo/One")(large) == large)
        for method in ["Fail", "Nothing"]:
            try:
                await channel.unary_unary(f"/story.Echo/{method}")(b"")
            except grpc.aio.AioRpcError as error:
                print(f"{method.lower()}:", error.code().name, error.details())
        words = [word async for word in channel.unary_stream("/story.Echo/Many")(b"1000")]
        print("many:", len(words), words[-1])
        talk = channel.stream_stream("/story.Echo/Talk")()
        # Each word is waited for before the next is said: neither side holds anything back.
        for number in range(100):
            await talk.write(f"word {number}".encode())
            heard = await talk.read()
            assert heard == f"word {number}".encode(), heard
        await talk.done_writing()
        print("talk:", await talk.read() is grpc.aio.EOF, (await talk.code()).name)


match sys.argv[1:]:
    case ["serve", port]:
        asyncio.run(serve(port))
    case ["ask", address, port, authority]:
        asyncio.run(ask(address, port, authority))
