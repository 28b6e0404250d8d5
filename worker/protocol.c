// SPDX-License-Identifier: Apache-2.0
#include "worker/protocol.h"
#include <errno.h>
#include <string.h>

enum err protocol_line(FILE *out, json_t *line)
{
    ENSURE(line, ERR_FAILED, "out of memory for a line of output");
    int rc = json_dumpf(line, out, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(line);
    ENSURE(rc == 0 && fputc('\n', out) != EOF && fflush(out) == 0, ERR_FAILED,
           "standard output: %s", strerror(errno));
    return OK;
}
