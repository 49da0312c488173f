"""The demo's ASGI application in a process whose descriptors are used up for its first requests."""

import itertools
import os
import resource

from django.test import Client

import demo_site.asgi

_LEFT = int(os.environ["HOG_REQUESTS"])
Client().get("/test/")  # loads what is loaded with the first request
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
_held = []
_count = itertools.count(1)


def _use_up():
    while True:
        try:
            _held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return


async def application(scope, receive, send):
    if scope["type"] == "http":
        number = next(_count)
        if number == 1:
            _use_up()
        elif number == _LEFT:
            while _held:
                os.close(_held.pop())
    await demo_site.asgi.application(scope, receive, send)
