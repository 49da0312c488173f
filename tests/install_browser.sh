#!/bin/sh
# A Chromium for the tests of the report's page: Debian's where we may install it, else Playwright's.
# What can't be had is said and no failure here: those tests skip, and fail where CI=true.
set -u
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    echo "make: installing chromium for the tests of the page" >&2
    if apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends chromium >&2; then
        exit 0
    fi
fi
.venv/bin/playwright install chromium >&2 || echo "make: no chromium could be installed" >&2
exit 0
