#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Cases called like paths and markup.
echo "1..3"
echo "ok 1 ../../../../etc/passwd"
echo "ok 2 <script>alert(1)</script>"
echo "ok 3 ]]>&amp;|\`id\`\$(id)"
