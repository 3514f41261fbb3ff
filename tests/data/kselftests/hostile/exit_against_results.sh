#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Says that all is well, and exits with an error.
echo "1..1"
echo "ok 1 fine"
exit 1
