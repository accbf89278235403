"""Asks by HTTP/3, as a client that is not ours: http3_client.py ADDRESS PORT AUTHORITY_PEM HOST REQUEST...

Each REQUEST is METHOD:PATH[:BODY]; `new` before one makes a new connection, which resumes the one before and sends the
request with its first packet. What comes is printed: head lines, an empty line, the body, a line of dashes.
"""

import asyncio
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StreamReset


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.answers = {}

    async def ask(self, host, method, path, body):
        stream = self._quic.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "https"), (":authority", host), (":path", path)]
        encoded = [(name.encode(), value.encode()) for name, value in fields]
        self.http.send_headers(stream, encoded, end_stream=not body)
        if body:
            self.http.send_data(stream, body.encode(), end_stream=True)
        self.answers[stream] = ("", asyncio.get_running_loop().create_future())
        self.transmit()
        return await asyncio.wait_for(self.answers[stream][1], 10)

    def quic_event_received(self, event):
        if isinstance(event, StreamReset) and event.stream_id in self.answers:
            said, ended = self.answers[event.stream_id]
            ended.set_result(f"{said}reset {event.error_code}")
        for http in self.http.handle_event(event):
            if getattr(http, "stream_id", None) not in self.answers:
                continue
            said, ended = self.answers[http.stream_id]
            if isinstance(http, HeadersReceived):
                said += "".join(f"{name.decode()}: {value.decode()}\n" for name, value in http.headers) + "\n"
            elif isinstance(http, DataReceived):
                said += http.data.decode(errors="backslashreplace")
            self.answers[http.stream_id] = (said, ended)
            if http.stream_ended and not ended.done():
                ended.set_result(said)


async def main(address, port, authority, host, requests):
    tickets = []
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, server_name=host)
    configuration.load_verify_locations(authority)
    groups = [[]]
    for request in requests:
        if request == "new":
            groups.append([])
        else:
            groups[-1].append((request.split(":") + [""])[:3])
    for group in groups:
        configuration.session_ticket = tickets[-1] if tickets else None
        is_new = not tickets
        async with connect(
            address,
            int(port),
            configuration=configuration,
            create_protocol=Client,
            session_ticket_handler=tickets.append,
            wait_connected=is_new,
        ) as client:
            for method, path, body in group:
                print(await client.ask(host, method, path, body))
                print("-----")
            if not is_new and not client._quic.tls.early_data_accepted:
                print("what was sent first was not taken")


asyncio.run(main(*sys.argv[1:5], sys.argv[5:]))
