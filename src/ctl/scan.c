/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <limits.h>

#include "ctl/scan.h"

void scan_done(Scan *s) {
        unit_files_done(&s->units);
        buffer_done(&s->main_file);
        roster_done(&s->roster);
        s->config = config_free(s->config);
}

/* -ENOMEM; 1: it is broken; 0: it is good, or there is none. */
static int main_file_is_broken(Buffer *ret_text) {
        _cleanup_(buffer_done) Buffer text = {}, why = {};
        int r = config_try(CONFIG_FILE, &text, &why);

        if (r == -ENOMEM)
                return r;
        if (r >= 0)
                *ret_text = TAKE(text);

        return r < 0 && r != -ENOENT;
}

int scan_make(Complaints *complaints, Scan *ret) {
        _cleanup_(scan_done) Scan s = {};
        char host[HOST_NAME_MAX + 1] = "";
        int r;

        r = main_file_is_broken(&s.main_file);
        if (r < 0)
                return r;
        s.is_blind = r > 0;

        r = config_load_what_is_good_in(&s.config, CONFIG_FOLDER, complain_of_config, complaints);
        if (r < 0)
                return r;
        r = roster_read(s.config, complain_of_path, complaints, &s.roster);
        if (r < 0)
                return r;

        (void) gethostname(host, sizeof(host) - 1);
        r = unit_files_make(&s.roster, s.config, host, &s.units);
        if (r < 0)
                return r;

        *ret = TAKE(s);
        return 0;
}
