#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Takes one chart out of a report as a picture that stands alone, in light and dark:
#   docs/make-picture.sh demo-out/report.html > docs/demo.svg
# By default the first chart that shows loss against M at several scales; another one by the
# beginning of its description (the aria-label of its <svg>).
set -eu
report=${1:?"usage: $0 REPORT.html [DESCRIPTION] > PICTURE.svg"}
chart=${2:-"Loss against M, FLOPs per token at [0-9]* scales"}

awk -v chart="aria-label=\"$chart" '
    /<style>/ { style = 1; next }
    /<\/style>/ { style = 0 }
    /^@media\(prefers-color-scheme:dark\)/ { dark = style }
    style && (dark || /^:root/ || /^svg \[/) { rules = rules $0 "\n" }
    /<svg class="plot"/ && $0 ~ chart && !found { found = inside = 1 }
    inside { body[++n] = $0 }
    /<\/svg>/ { inside = 0 }
    END {
        if (!found) {
            print "no such chart in this report" > "/dev/stderr"
            exit 1
        }
        for (i = 1; i <= n; i++) {
            line = body[i]
            gsub(/<a href="[^"]*">/, "<g>", line) # a picture leads nowhere
            gsub(/<\/a>/, "</g>", line)
            print line
            if (!styled && line ~ /^>$/) {
                printf "<style>\n%s</style>\n", rules
                styled = 1
            }
        }
    }' "$report"
