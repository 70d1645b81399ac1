#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Rewrites the golden files with what the collectors of a build folder say now; the diff is the review.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 BUILD-FOLDER" >&2; exit 2; }

GOLDEN_UPDATE=1 meson test -C "$1" --suite golden
git -C "$(dirname "$0")" diff --stat -- .
