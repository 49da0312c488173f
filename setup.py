"""What of the build isn't data: which packages a wheel has, and the accelerator, which may fail."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import Extension, find_namespace_packages, find_packages, setup

SOURCES = Path("tracer", "runtime", "native")

# `tracer compare` without arguments measures the demo site, so a wheel has it: in a folder of its
# own below our package, since a server finds it by that folder and must find nothing else there.
DEMO = "tracer.demo"

setup(
    packages=[
        *find_namespace_packages(include=["tracer", "tracer.*"]),
        *(f"{DEMO}.{name}" for name in find_packages(include=["demo_site", "demo_site.*"])),
    ],
    package_dir={f"{DEMO}.demo_site": "demo_site"},
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
    else [],
)
