"""A TCP proxy in a process of its own, which a test can stop: then its connections are cut, and nobody is told.

``python -m tests.integration.tcp_proxy PORT [LISTEN]`` prints the port where it listens, which may be chosen; it ends
when its standard input does.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading


async def serve(port: int, listen: int = 0) -> None:
    """Forward connections from ``listen`` to ``port``."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(forward(reader, there[1]), forward(there[0], writer), return_exceptions=True)

    server = await asyncio.start_server(accept, "127.0.0.1", listen)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def end_with_input() -> None:
    """End when nobody holds standard input any more."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with_input, daemon=True).start()
    asyncio.run(serve(*map(int, sys.argv[1:])))
