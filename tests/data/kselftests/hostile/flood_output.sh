#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Writes lines without end.
exec yes "# flood"
