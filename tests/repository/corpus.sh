#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# make-corpus.sh on a small package made here: HTML and text become paragraphs, repetitions go, code
# keeps its lines, nothing is overwritten.
. "$(dirname "$0")/lib.sh"
for tool in dpkg-deb apt-get iconv; do
    command -v "$tool" >/dev/null || skip "no $tool: not a Debian machine"
done
script=$MOESWEEP_SOURCE/data/make-corpus.sh
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
doc=pkg/usr/share/doc/sample-doc
mkdir -p pkg/DEBIAN "$doc/html"
printf 'Package: sample-doc\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\n%s\n' \
    'Description: sample' >pkg/DEBIAN/control
echo 'free for all' >"$doc/copyright"

long='A paragraph that is long enough to count as one and comes a second time later on.'
filler=$(seq -s ' ' -f 'Sentence %g of a filler that makes the document long enough to be kept.' 5)
cat >"$doc/html/a.html" <<END
<html><head><title>dropped title</title><script>if (a < b) dropped();</script></head>
<body><!-- dropped <p> comment --><nav><p>dropped navigation</p></nav>
<h1>Title</h1><p>Tom &amp; Jerry&#8217;s <b>caf&#233;</b>
 is &lt;here&gt;.</p><pre>int main(void)
{
    return 0;
}</pre><p>$long</p><p>$filler</p></body></html>
END
{
    printf '%s\n\n%s\n\n' "$long" "Second document."
    echo "$filler Two."
} | gzip >"$doc/b.txt.gz"
printf 'int f(void)\n{\n\treturn 1;\n}\n\n/* %s */\n' "$filler Three." >"$doc/c.c"
echo 'too short to be a document' >"$doc/d.txt"
dpkg-deb -b pkg sample.deb >/dev/null || fail "dpkg-deb cannot build the sample"

"$script" --out out ./sample.deb >stdout 2>stderr || fail "exit code $?: $(cat stderr)"
text=out/sample-doc.txt
[[ $(cat out/sample-doc.licence) == 'free for all' ]] || fail "the licence is not there"
marks=$(tr -cd '\f' <"$text" | wc -c)
((marks == 2)) || fail "$((marks + 1)) documents, expected 3"
wants() {
    grep -qxF -e "$1" "$text" || fail "no line '$1'"
}
wants "Title"
wants "Tom & Jerry's cafe is <here>."
wants "    return 0;"
wants "$(printf '\treturn 1;')"
wants "Second document."
(($(grep -cF "$long" "$text") == 1)) || fail "a paragraph is there more than once"
if grep -qE 'dropped|too short' "$text"; then
    fail "markup or crumbs are left"
fi
((failures == 0)) || cat -A "$text"

before=$(cksum "$text")
if "$script" --out out ./sample.deb >/dev/null 2>&1; then
    fail "a second run succeeds over what is there"
fi
[[ $(cksum "$text") == "$before" ]] || fail "a second run overwrites what is there"
echo 'no package' >bad.deb
if "$script" --out out ./bad.deb >/dev/null 2>&1; then
    fail "a file that is no package is taken"
fi
"$script" --out out 'no/such name' >/dev/null 2>&1
(($? == 2)) || fail "a name that cannot be one is tried"
finish
