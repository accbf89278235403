"""Asks by HTTP/3 as a browser would, for a while: http3_stays.py ADDRESS PORT AUTHORITY_PEM HOST FILE

A request that its connection takes along is made again once, on a new one. Until FILE is there it asks again and again;
then it prints how many were answered, how many of these were asked twice, and how many failed.
"""

import asyncio
import os
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.open = {}
        self.is_over = False

    async def ask(self, host, path):
        stream = self._quic.get_next_available_stream_id()
        fields = [(":method", "GET"), (":scheme", "https"), (":authority", host), (":path", path)]
        encoded = [(name.encode(), value.encode()) for name, value in fields]
        self.http.send_headers(stream, encoded, end_stream=True)
        self.open[stream] = ["", "", asyncio.get_running_loop().create_future()]
        self.transmit()
        return await asyncio.wait_for(self.open[stream][2], 5)

    def fail(self, why):
        for _, _, ended in self.open.values():
            if not ended.done():
                ended.set_exception(ConnectionError(why))

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            self.is_over = True
            self.fail(f"closed with {event.error_code}")
        if isinstance(event, StreamReset):
            self.fail(f"reset with {event.error_code}")
        for http in self.http.handle_event(event):
            answer = self.open.get(getattr(http, "stream_id", None))
            if answer is None:
                continue
            if isinstance(http, HeadersReceived):
                answer[0] = dict(http.headers).get(b":status", b"").decode()
            elif isinstance(http, DataReceived):
                answer[1] += http.data.decode()
            if http.stream_ended and not answer[2].done():
                answer[2].set_result((answer[0], answer[1]))


async def main(address, port, authority, host, file):
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, server_name=host)
    configuration.load_verify_locations(authority)
    answered = again = failed = number = 0
    context = client = None
    while not os.path.exists(file):
        number += 1
        path = f"/{number % 50}"
        for is_again in [False, True]:
            try:
                if client is None or client.is_over:
                    context = connect(address, int(port), configuration=configuration, create_protocol=Client)
                    client = await asyncio.wait_for(context.__aenter__(), 5)
                answer = await client.ask(host, path)
                assert answer == ("200", f"GET {path}"), answer
                answered += 1
                again += is_again
                break
            except (ConnectionError, asyncio.TimeoutError) as error:
                client = None
                if is_again:
                    failed += 1
                    print("failed:", repr(error))
    print(f"{answered} answered, {again} asked twice, {failed} failed")


asyncio.run(main(*sys.argv[1:6]))
