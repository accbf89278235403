"""WebSocket by programs that are not ours: websocket.py serve PORT | websocket.py ask URL ADDRESS PORT AUTHORITY_PEM

The server says back what it hears, and refuses whoever asks for /closed. The client prints what comes of a word, of a
message of 1 MB, of a ping and of the end.
"""

import asyncio
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import InvalidStatus


async def say_back(connection):
    async for message in connection:
        await connection.send(message)
        if message == "bye":
            await connection.close(1000, "as you wish")


def refuse(connection, request):
    if request.path == "/closed":
        return connection.respond(403, "not here\n")
    return None


async def ask(url, address, port, authority):
    secure = ssl.create_default_context(cafile=authority) if url.startswith("wss:") else None
    try:
        async with connect(url, host=address, port=int(port), ssl=secure, max_size=2_000_000) as connection:
            print("extensions:", [extension.name for extension in connection.protocol.extensions])
            await connection.send("hello")
            print("word:", await connection.recv())
            large = bytes(number % 251 for number in range(1_000_000))
            await connection.send(large)
            print("large:", await connection.recv() == large)
            await (await connection.ping())
            print("ping: answered")
            await connection.send("bye")
            print("bye:", await connection.recv())
            await connection.wait_closed()
            print("end:", connection.close_code, connection.close_reason)
    except InvalidStatus as refused:
        print("refused:", refused.response.status_code, refused.response.body.decode())


async def main():
    match sys.argv[1:]:
        case ["serve", port]:
            async with serve(say_back, "127.0.0.1", int(port), process_request=refuse, max_size=2_000_000) as server:
                await server.serve_forever()
        case ["ask", url, address, port, authority]:
            await ask(url, address, port, authority)


asyncio.run(main())
