#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Plans more cases than anybody can list.
echo "1..999999999"
echo "ok 1 the_only"
