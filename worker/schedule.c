// SPDX-License-Identifier: Apache-2.0
#include "worker/schedule.h"
#include <math.h>

#define COSINE_FLOOR 0.1
#define PI 3.14159265358979323846

double schedule_lr(const struct job_train *t, int64_t steps, int64_t step)
{
    double n = (double)steps, s = (double)step;
    double w = round(t->warmup * n);
    double k = t->schedule == SCHEDULE_LINEAR ? n - w : round(t->decay * n);
    double up = s < w ? s / w : 1, down = 1;
    if (t->schedule != SCHEDULE_COSINE && s > n - k)
        down = (n + 1 - s) / (k + 1);
    if (t->schedule == SCHEDULE_COSINE && s > w)
        down = COSINE_FLOOR + (1 - COSINE_FLOOR) * (1 + cos(PI * (s - w) / (n - w))) / 2;
    return t->lr * fmin(up, down);
}
