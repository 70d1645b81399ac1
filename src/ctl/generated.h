/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What tcollector-generator has written, read back in the shape of conf/unit-files.h. */

#include "conf/unit-files.h"
#include "ctl/entries.h"

#define GENERATOR_DIR "/run/systemd/generator"

/* What there is of ours below `path`; a folder that does not exist has nothing. */
int generated_read(const char *path, UnitFiles *ret);

bool generated_equal(const UnitFiles *a, const UnitFiles *b);

/* The collectors that are started with the agent: those there is a link of. */
int generated_entries(const UnitFiles *u, Entries *ret);

/* The content of the file at `path`, or NULL. */
const char *generated_content(const UnitFiles *u, const char *path);
