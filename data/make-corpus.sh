#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Assembles text to train on from Debian's documentation packages: a file for each package, its
# documents separated by form feeds, each paragraph once, plain ASCII, the licence beside it.
set -euo pipefail
export LC_ALL=C

# name | MB of text on Debian 12 | what it is
known='linux-doc-6.1|26|the kernel documentation: technical English
python3.11-doc|11|the Python manual: English with code
perl-doc|8|the Perl manual: English with code
libboost1.81-doc|17|the Boost manual and its examples: English, C++
wordnet-base|12|words and their definitions
anarchism|12|a long essay in questions and answers: English prose'
default=(linux-doc-6.1 python3.11-doc perl-doc libboost1.81-doc wordnet-base)

usage() {
    cat <<END
usage: data/make-corpus.sh --out DIR [PACKAGE | FILE.deb]...
       data/make-corpus.sh --list

Writes DIR/PACKAGE.txt and DIR/PACKAGE.licence for each Debian package; installs nothing. Without a
package: ${default[*]}.

  --out DIR   where to write; a file that is there already is not overwritten
  --list      the packages known to work, with the size of their text
  --help      this text

Exit codes: 0 done, 1 a package or a tool is not to be had, 2 bad usage.
END
}

bad_usage() {
    echo "make-corpus.sh: $1" >&2
    usage >&2
    exit 2
}

fail() {
    echo "make-corpus.sh: $1" >&2
    exit 1
}

out=""
packages=()
while (($#)); do
    case $1 in
    --help | -h)
        usage
        exit 0
        ;;
    --list)
        awk -F'|' '{ printf "%-18s %6s MB   %s\n", $1, $2, $3 }' <<<"$known"
        exit 0
        ;;
    --out)
        [[ ${2:-} ]] || bad_usage "--out needs a folder"
        out=$2
        shift
        ;;
    -*) bad_usage "unknown option '$1'" ;;
    *) packages+=("$1") ;;
    esac
    shift
done
[[ $out ]] || bad_usage "--out DIR is missing"
((${#packages[@]})) || packages=("${default[@]}")
for tool in dpkg-deb apt-get iconv gzip awk; do
    command -v "$tool" >/dev/null || fail "no program '$tool': this script needs Debian's tools"
done
for package in "${packages[@]}"; do
    if [[ $package == *.deb ]]; then
        [[ -r $package ]] || fail "cannot read $package"
    elif [[ ! $package =~ ^[a-z0-9][a-z0-9+.-]+$ ]]; then
        bad_usage "'$package' is no name of a Debian package"
    fi
done
mkdir -p "$out" || fail "cannot make the folder $out"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# HTML to text: what follows a tag up to the next is one record. Block elements end a paragraph;
# head, scripts, styles, comments and navigation are dropped; pre keeps its lines.
html_to_text='
function utf8(n) {
    if (n < 128)
        return sprintf("%c", n)
    if (n < 2048)
        return sprintf("%c%c", 192 + int(n / 64), 128 + n % 64)
    if (n < 65536)
        return sprintf("%c%c%c", 224 + int(n / 4096), 128 + int(n / 64) % 64, 128 + n % 64)
    return "?"
}
function decoded(s,   done, name) {
    done = ""
    while (match(s, /&#?[A-Za-z0-9]+;/)) {
        name = substr(s, RSTART + 1, RLENGTH - 2)
        done = done substr(s, 1, RSTART - 1)
        s = substr(s, RSTART + RLENGTH)
        if (name in entity)
            done = done entity[name]
        else if (name ~ /^#[0-9]+$/ && length(name) < 8 && substr(name, 2) + 0 > 31)
            done = done utf8(substr(name, 2) + 0)
        else
            done = done " "
    }
    return done s
}
BEGIN {
    RS = "<"
    split("lt < gt > quot \" apos '\'' mdash -- ndash - hellip ... rsquo '\'' lsquo '\'' " \
          "ldquo \" rdquo \"", pairs, " ")
    for (i = 1; i in pairs; i += 2)
        entity[pairs[i]] = pairs[i + 1]
    entity["amp"] = "&"
    block = "^/?(p|div|h[1-6]|li|ul|ol|dl|dt|dd|tr|table|pre|blockquote|section|article|hr|body)$"
    dropped = "^(head|script|style|nav|footer|svg|noscript)$"
}
{
    if (comment) {
        if (!index($0, "-->"))
            next
        comment = 0
    } else if (substr($0, 1, 3) == "!--") {
        if (!index($0, "-->"))
            comment = 1
    } else if (NR > 1) {
        tag = tolower($0)
        sub(/[ \t\r\n>].*/, "", tag)
        name = tag
        sub(/^\//, "", name)
        sub(/\/$/, "", name)
        if (skip != "") {
            if (tag == "/" skip)
                skip = ""
        } else if (tag ~ dropped)
            skip = tag
        if (tag == "pre")
            pre = 1
        if (tag == "/pre")
            pre = 0
        if (tag ~ block || name == "br") {
            printf name == "br" ? "\n" : "\n\n"
            fresh = 1
        }
        if (name == "td" || name == "th")
            printf " "
    }
    end = index($0, ">")
    if (NR == 1 || end == 0 || skip != "" || comment)
        next
    text = decoded(substr($0, end + 1))
    if (!pre) {
        gsub(/[ \t\r\n]+/, " ", text)
        if (fresh)
            sub(/^ /, "", text)
    }
    if (text != "")
        fresh = 0
    printf "%s", text
}
END { print "" }'

# Paragraphs once each. A line of a form feed and a kind begins a document. Short paragraphs (heads,
# brackets) may come again: 20 times in prose, where more is navigation, without limit in code.
once_each='
function end_of_paragraph(   key) {
    if (paragraph == "")
        return
    key = paragraph
    gsub(/[ \t\n]+/, " ", key)
    limit = length(key) >= 40 ? 1 : kind == "code" ? 1e9 : 20
    if (seen[key]++ < limit)
        document = document (document == "" ? "" : "\n") paragraph
    paragraph = ""
}
function end_of_document() {
    end_of_paragraph()
    if (length(document) >= 200) {
        printf "%s%s", n++ ? "\f" : "", document
    }
    document = ""
}
/^\f/ { end_of_document(); kind = substr($0, 2); next }
{ sub(/[ \t]+$/, "") }
$0 == "" { end_of_paragraph(); next }
length($0) < 4000 { paragraph = paragraph $0 "\n" }
END { end_of_document() }'

# WordNet keeps a line for each meaning: numbers, words, relations, a bar, a definition.
wordnet_to_text='
/^[0-9]+ [0-9]+ [a-z] / {
    definition = substr($0, index($0, "|") + 2)
    words = ""
    count = hex($4)
    for (i = 0; i < count; i++)
        words = words (i ? ", " : "") $(5 + 2 * i)
    gsub(/_/, " ", words)
    if (n++ % 100 == 0)
        printf "\ftext\n"
    printf "%s: %s\n\n", words, definition
}
function hex(s) {
    return 16 * (index("0123456789abcdef", substr(s, 1, 1)) - 1) + \
        index("0123456789abcdef", substr(s, 2, 1)) - 1
}'

# FOLDER: all documents of an unpacked package, each after a line of a form feed and its kind
documents() {
    local file kind has_sources
    # Where the source of a manual is there, its HTML only says the same again.
    has_sources=$(find "$1" -type f \( -name '*.rst' -o -name '*.rst.gz' -o -name '*.rst.txt' \
        -o -name '*.pod' -o -path '*/markdown/*' \) -print -quit)
    find "$1" -type f -not -path '*/man/*' -not -iname '*changelog*' -not -name '*copyright*' \
        -print | sort | while read -r file; do
        case ${file%.gz} in
        */data.noun | */data.verb | */data.adj | */data.adv)
            awk "$wordnet_to_text" "$file"
            continue
            ;;
        *.html | *.htm)
            [[ ! $has_sources ]] || continue
            kind=html
            ;;
        *.txt | *.rst | *.md | *.pod | *.text) kind=text ;;
        *.c | *.h | *.cc | *.cpp | *.hpp | *.cxx | *.hxx | *.py | *.pl | *.pm | *.sh | *.java | \
            *.go | *.rs | *.hs | *.ml | *.scm | *.el | *.rb) kind=code ;;
        *) continue ;;
        esac
        printf '\f%s\n' "$kind"
        gzip -cdf -- "$file" | tr -d '\000-\010\013-\037\177' |
            if [[ $kind == html ]]; then awk "$html_to_text"; else cat; fi
        echo
    done
}

# Plain ASCII: quotes, dashes and accented letters become their ASCII cousins, other characters a
# question mark or nothing; lines that are mostly of another script go.
to_ascii() {
    awk '4 * gsub(/[\200-\377]/, "&") <= length($0)' |
        { LC_ALL=C.UTF-8 iconv -c -f UTF-8 -t ASCII//TRANSLIT || true; } # 1: something was dropped
}

for package in "${packages[@]}"; do
    rm -rf "$tmp/deb" "$tmp/root"
    mkdir "$tmp/deb" "$tmp/root"
    if [[ $package == *.deb ]]; then
        deb=$package
    else
        sandbox=()
        ((EUID != 0)) || sandbox=(-o APT::Sandbox::User=root) # _apt cannot write into our folder
        (cd "$tmp/deb" && apt-get "${sandbox[@]}" download -qq "$package") >"$tmp/log" 2>&1 || {
            tail -n 5 "$tmp/log" >&2
            fail "apt-get cannot download '$package' (names differ between releases; apt-get update?)"
        }
        deb=$(echo "$tmp"/deb/*.deb)
    fi
    name=$(dpkg-deb -f "$deb" Package) || fail "$deb is no Debian package"
    for file in "$out/$name.txt" "$out/$name.licence"; do
        [[ ! -e $file ]] || fail "$file is there already: remove it, or choose another folder"
    done
    dpkg-deb -x "$deb" "$tmp/root"
    documents "$tmp/root" | to_ascii | awk "$once_each" >"$tmp/text"
    [[ -s $tmp/text ]] || fail "$name holds no text that this script knows how to read"
    if [[ -r $tmp/root/usr/share/doc/$name/copyright ]]; then
        cp "$tmp/root/usr/share/doc/$name/copyright" "$out/$name.licence"
    else
        echo "The package $name carries no copyright file of its own." >"$out/$name.licence"
    fi
    mv "$tmp/text" "$out/$name.txt"
    printf '%s: %s documents, %s bytes\n' "$out/$name.txt" \
        "$(($(tr -cd '\f' <"$out/$name.txt" | wc -c) + 1))" "$(wc -c <"$out/$name.txt")"
done
