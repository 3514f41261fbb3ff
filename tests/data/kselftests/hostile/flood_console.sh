#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Writes to the console without end.
exec yes "[    1.000000] flood of the console" >/dev/console
