"""Named middleware stacks, outermost first, so that they can be compared."""

from __future__ import annotations

from typing import Final

DEFAULT: Final = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
SYNC: Final = ["demo_site.middleware.sync_function", "demo_site.middleware.SyncClass"]
ASYNC: Final = ["demo_site.middleware.async_function", "demo_site.middleware.AsyncClass"]
BOTH: Final = ["demo_site.middleware.both_function", "demo_site.middleware.MixinClass"]

STACKS: Final = {
    "default": DEFAULT,
    "none": [],
    "sync-inner": [*DEFAULT, SYNC[0]],
    "sync-outer": [SYNC[0], *DEFAULT],
    "sync": [*DEFAULT, *SYNC],
    "async": [*DEFAULT, *ASYNC],
    "both": [*DEFAULT, *BOTH],
    "mixed": [SYNC[1], *DEFAULT, ASYNC[1], *BOTH, SYNC[0], ASYNC[0]],
    "gzip": ["django.middleware.gzip.GZipMiddleware", *DEFAULT],
}


def stack(name: str) -> list[str]:
    """Return the middlewares of the stack called `name`."""
    if name not in STACKS:
        raise ValueError(f"DEMO_MIDDLEWARE={name!r}: choose one of {', '.join(STACKS)}")
    return list(STACKS[name])
