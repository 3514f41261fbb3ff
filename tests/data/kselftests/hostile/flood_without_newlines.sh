#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Writes one line without end.
exec tr '\0' x </dev/zero
