// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/gpus.h"
#include "core/json.h"
#include "orchestrator/capture.h"
#include "orchestrator/command.h"
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *gpus_probe(double seconds)
{
    char path[PATH_MAX], text[16384];
    int code = 0;
    if (command_find("moetrain", path, sizeof path) != OK)
        return NULL;
    const char *argv[] = {path, "--probe", NULL};
    if (capture(argv, seconds, 1, text, sizeof text, &code) != OK || code != 0)
        return NULL;
    return json_loads(text, 0, NULL);
}

// Whether CUDA_VISIBLE_DEVICES lets a device be seen, by number or by the beginning of its
// UUID.
static bool visible(int number, const char *uuid)
{
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    if (!list)
        return true;
    while (*list) {
        char *end;
        size_t n = strcspn(list, ",");
        long i = strtol(list, &end, 10);
        if ((end == list + n && n > 0 && i == number) || (n > 4 && strncmp(list, uuid, n) == 0))
            return true;
        list += n + (list[n] == ',');
    }
    return false;
}

// "GPU 0: NVIDIA H100 (UUID: GPU-..)", a line each.
static json_t *of_driver(double seconds)
{
    json_t *uuids = json_array();
    char text[16384], *line, *rest = text;
    int code = 0;
    const char *argv[] = {"nvidia-smi", "-L", NULL};
    if (capture(argv, seconds, 1, text, sizeof text, &code) != OK || code != 0)
        return uuids;
    while ((line = strsep(&rest, "\n"))) {
        char *at = strstr(line, "(UUID: ");
        int number;
        if (!at || sscanf(line, "GPU %d:", &number) != 1)
            continue;
        at += 7;
        at[strcspn(at, ")")] = '\0';
        if (visible(number, at))
            json_array_append_new(uuids, json_string(at));
    }
    return uuids;
}

static const json_t *devices_of(const json_t *probed)
{
    const json_t *cuda = json_object_get(json_object_get(probed, "backends"), "cuda");
    return json_object_get(cuda, "devices");
}

json_t *gpus_uuids(const json_t *probed, double seconds)
{
    const json_t *devices = devices_of(probed), *d;
    size_t i;
    if (json_array_size(devices) == 0)
        return of_driver(seconds);
    json_t *uuids = json_array();
    json_array_foreach(devices, i, d)
        json_array_append_new(uuids, json_string(jstr(d, "uuid")));
    return uuids;
}

double gpus_memory(const json_t *probed)
{
    const json_t *devices = devices_of(probed), *d;
    double least = 0;
    size_t i;
    json_array_foreach(devices, i, d)
    {
        double bytes = jnum(d, "memory_bytes");
        if (bytes > 0 && (least == 0 || bytes < least))
            least = bytes;
    }
    return least;
}
