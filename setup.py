"""The one part of the build that isn't data: the accelerator, which may fail to build."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import Extension, setup

SOURCES = Path("tracer", "runtime", "native")

setup(
    ext_modules=[
        Extension(
            "tracer.model._native",
            sources=sorted(str(path) for path in SOURCES.glob("*.c")),
            depends=sorted(str(path) for path in SOURCES.glob("*.h")),
            extra_compile_args=[
                "-std=c11",
                "-D_GNU_SOURCE",
                # What it costs is the cache that it takes from what it watches.
                "-Os",
                # Which would copy by an instruction that is slow to begin.
                "-fno-builtin-memcpy",
                "-fno-builtin-memset",
                "-fvisibility=hidden",
                "-fno-plt",
            ],
            # Without a compiler everything is done in Python: slower, and the same.
            optional=True,
        )
    ]
    if sys.platform == "linux" and sys.implementation.name == "cpython"
    else []
)
