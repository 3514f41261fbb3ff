#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Stops what it was started by.
echo "1..1"
echo "ok 1 before"
killall -STOP dropbear
