// SPDX-License-Identifier: GPL-3.0-or-later
// The one table of keys: reader, defaults, messages, resolved text and docs/configuration.md
// derive from it. Order matters: a section is read in this order (scales before rules, axes
// before fits).
#include "orchestrator/config_internal.h"
#include <float.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define AT(type, field) offsetof(struct type, field), sizeof(((struct type *)0)->field)
#define NO_FIELD 0, 0
#define NO_RANGE 1, 0

#define X(name, text) #name "|"
static const char curve_forms[] = CURVE_FORMS(X);
#undef X

// clang-format off
const struct key config_keys[] = {
    {"name", KEY_TEXT, KEY_REQUIRED | KEY_EXTENDS, AT(sweep, name), NO_RANGE, NULL, NULL,
     "what the sweep is called in reports"},
    {"question", KEY_TEXT, KEY_LOOSE, AT(sweep, question), NO_RANGE, "", NULL,
     "what the sweep is meant to answer; the report opens with it"},
    {"seed", KEY_I64, 0, AT(sweep, seed), 0, 9007199254740992.0, "1", NULL,
     "of the bootstraps (replicates of a run are seeded 1, 2, .. by `seeds` of its phase)"},
    {"scales", KEY_OTHER, KEY_REQUIRED | KEY_EXTENDS, AT(sweep, scales), NO_RANGE, NULL,
     "list of 1 to 16 numbers, ascending, 1e6 to 1e30",
     "the compute budgets C = M D of the runs, in FLOPs as the paper counts them"},

    {"data", KEY_GROUP, KEY_REQUIRED, NO_FIELD, NO_RANGE, NULL, NULL, "what is trained on"},
    {"data.kind", KEY_CHOICE, 0, AT(sweep, base.data.kind), NO_RANGE, "text",
     "text|nanogpt|llmc|megatron|external",
     "`text`: files of text; `nanogpt`, `llmc`, `megatron`: files of tokens (data.md); `external`: "
     "whatever a trainer of your own makes of the paths, not looked at"},
    {"data.eot", KEY_I64, 0, AT(sweep, base.data.eot), -1, 2147483647.0, "-1", NULL,
     "nanogpt and llmc: the token that ends a document; -1: none, each file is one document"},
    {"data.paths", KEY_OTHER, 0, AT(sweep, base.data.paths), NO_RANGE, "none",
     "list of at most 4096 texts",
     "text: documents separated by form feeds; tokens: see data.md; relative to the configuration's "
     "folder"},
    {"data.held", KEY_NUM, KEY_OPEN_LO, AT(sweep, base.data.held), 0, 0.5, "0.05", NULL,
     "share of the documents that is held out for validation"},
    {"data.max_epochs", KEY_NUM, KEY_OPEN_LO | KEY_EXTENDS, AT(sweep, max_epochs), 0, 1000, "4", NULL,
     "how often a run may see the training text; a sweep that would need more is refused"},
    {"data.tokens", KEY_I64, 0, AT(sweep, corpus_train), 0, 9007199254740992.0, "0", NULL,
     "training tokens of external data (those of files are counted)"},

    {"arch", KEY_GROUP, KEY_REQUIRED, NO_FIELD, NO_RANGE, NULL, NULL, "dimensions that are fixed"},
    {"arch.*", KEY_OTHER, 0, NO_FIELD, NO_RANGE, "none",
     "integer or rule in C, for a dimension's name",
     "its value; a rule gives it for each scale. V belongs here for external data, and "
     "for files of tokens (largest token + 1 if absent)"},
    {"free", KEY_GROUP, 0, NO_FIELD, NO_RANGE, NULL, NULL,
     "dimensions that the solver chooses so that a structure meets its coordinates"},
    {"free.*", KEY_OTHER, 0, NO_FIELD, NO_RANGE, "none",
     "[lo, hi] or [lo, hi, step], for a dimension's name",
     "the multiples of step (1 if absent) from lo to hi are tried"},
    {"tolerance", KEY_GROUP, 0, NO_FIELD, NO_RANGE, NULL, NULL,
     "how far a structure may be from what was asked"},
    {"tolerance.*", KEY_OTHER, KEY_OPEN_LO, NO_FIELD, 0, 1, "0.03",
     "number, for a coordinate's name", "largest relative deviation that is accepted"},
    {"start", KEY_GROUP, 0, NO_FIELD, NO_RANGE, NULL, NULL,
     "what a structure is asked to be before any phase has adopted something better"},
    {"start.*", KEY_OTHER, 0, NO_FIELD, NO_RANGE, "none",
     "number or rule in C, for a coordinate's name or d",
     "the coordinate's value; without d the median of the feasible ones is taken"},

    {"train", KEY_GROUP, KEY_REQUIRED, NO_FIELD, NO_RANGE, NULL, NULL, "how a model is trained"},
    {"train.batch_tokens", KEY_RULE, KEY_REQUIRED, AT(sweep, batch_tokens), 1, 1e9, NULL,
     "number, rule or \"step-law\"", "tokens a step, rounded to whole sequences of S"},
    {"train.batch_ramp", KEY_NUM, 0, AT(sweep, base.train.batch_ramp), 0, 1, "0", NULL,
     "share of the tokens over which the batch grows to that size"},
    {"train.micro_tokens", KEY_I64, 0, AT(sweep, base.train.micro_tokens), 0, 1e9, "0", NULL,
     "tokens of a batch that are in memory at a time, in whole sequences, at least one; 0: all of "
     "the batch, on a GPU 16384"},
    {"train.lr", KEY_RULE, KEY_REQUIRED | KEY_OPEN_LO, AT(sweep, lr), 0, 10, NULL,
     "number, rule or \"step-law\"", "peak learning rate"},
    {"train.schedule", KEY_CHOICE, 0, AT(sweep, base.train.schedule), NO_RANGE, "wsd",
     "wsd|cosine|linear",
     "`wsd`: constant, then linear to zero; `cosine`: to 10 % of the peak at the last step; `linear`: "
     "from the peak to zero"},
    {"train.warmup", KEY_NUM, 0, AT(sweep, base.train.warmup), 0, 1, "0.1", NULL,
     "share of the steps over which the rate rises to its peak"},
    {"train.decay", KEY_NUM, 0, AT(sweep, base.train.decay), 0, 1, "0.3", NULL,
     "share of the steps, at the end, over which `wsd` falls"},
    {"train.aux", KEY_RULE, 0, AT(sweep, aux), 0, 100, "0.01", "number or rule in C",
     "weight of the load-balancing loss, per layer"},
    {"train.optimizer", KEY_CHOICE, 0, AT(sweep, base.train.optimizer), NO_RANGE, "adamw",
     "adamw|muon", "`muon`: orthogonalised momentum for matrices, AdamW for the rest"},
    {"train.precision", KEY_CHOICE, 0, AT(sweep, base.train.precision), NO_RANGE, "f32", "f32|bf16",
     "of the factors of matrix products; weights, moments and sums are f32 in both"},
    {"train.wd", KEY_NUM, 0, AT(sweep, base.train.wd), 0, 10, "0.1", NULL, "decoupled weight decay"},
    {"train.beta1", KEY_NUM, KEY_OPEN_HI, AT(sweep, base.train.beta1), 0, 1, "0.9", NULL,
     "AdamW's decay of the first moment"},
    {"train.beta2", KEY_NUM, KEY_OPEN_HI, AT(sweep, base.train.beta2), 0, 1, "0.95", NULL,
     "AdamW's decay of the second moment"},
    {"train.clip", KEY_NUM, 0, AT(sweep, base.train.clip), 0, 1e6, "1", NULL,
     "largest norm of the gradient; 0: no clipping"},

    {"model", KEY_GROUP, 0, NO_FIELD, NO_RANGE, NULL, NULL, "what all models have in common"},
    {"model.router", KEY_CHOICE, 0, AT(sweep, base.model.router), NO_RANGE, "softmax",
     "softmax|sigmoid_bias", "scores of the experts; `sigmoid_bias` balances by a bias"},
    {"model.norm_topk", KEY_BOOL, 0, AT(sweep, base.model.norm_topk), NO_RANGE, "true", NULL,
     "the weights of the K chosen experts are divided by their sum; never where K = 1, whose router "
     "would get no gradient"},
    {"model.tied", KEY_BOOL, 0, AT(sweep, base.model.tied), NO_RANGE, "false", NULL,
     "the unembedding is the embedding"},
    {"model.qk_norm", KEY_BOOL, 0, AT(sweep, base.model.qk_norm), NO_RANGE, "false", NULL,
     "an RMSNorm on every query and key head, before the rotary positions"},
    {"model.rope_base", KEY_NUM, 0, AT(sweep, base.model.rope_base), 1, 1e9, "10000", NULL,
     "base of the rotary positions"},
    {"model.init_scale", KEY_NUM, KEY_OPEN_LO, AT(sweep, base.model.init_scale), 0, 100, "1", NULL,
     "multiplies every initial standard deviation 1/sqrt(fan-in)"},

    {"init", KEY_GROUP, 0, NO_FIELD, NO_RANGE, NULL, NULL, "what a model starts from"},
    {"init.from", KEY_OTHER, 0, AT(sweep, base.init.from), NO_RANGE, "none", "path of a checkpoint",
     "whose weights every model takes over, a dense block's as experts (upcycling); none: random "
     "weights"},
    {"init.noise", KEY_NUM, 0, AT(sweep, base.init.noise), 0, 10, "0", NULL,
     "standard deviation of what is added to each copied expert, relative to the dense block's"},

    {"prior", KEY_GROUP, KEY_EXTENDS, NO_FIELD, NO_RANGE, NULL, NULL,
     "runs of other programs, from a table (extend.md)"},
    {"prior.table", KEY_OTHER, 0, AT(sweep, prior.table), NO_RANGE, "none", "path of a CSV file",
     "with columns C, loss, the variable of the phase's first fit and, where runs differ in more, group; "
     "or what `map` makes of its columns"},
    {"prior.map", KEY_TEXT, 0, AT(sweep, prior.map), NO_RANGE, "", NULL,
     "as --map of moesweep fit: `C=flops,M=flops/tokens,loss=final`"},
    {"prior.phase", KEY_TEXT, 0, AT(sweep, prior.phase), NO_RANGE, "", NULL,
     "the phase whose first fit they are for"},
    {"prior.use", KEY_CHOICE, 0, AT(sweep, prior.use), NO_RANGE, "start", "start|fit",
     "`start`: their optimum is the start value of that variable, no more; `fit`: they are points of "
     "the fit beside the sweep's own, with an intercept of their own"},

    {"val", KEY_GROUP, 0, NO_FIELD, NO_RANGE, NULL, NULL, "validation"},
    {"val.tokens", KEY_I64, 0, AT(sweep, base.val.tokens), 1, 1e12, "262144", NULL,
     "held-out tokens that a loss is measured on, from their start (all of them if there are fewer)"},
    {"val.every", KEY_I64, 0, AT(sweep, base.val.every), 0, 1e12, "0", NULL,
     "steps between validations along the way; 0: at the end alone"},

    {"phases", KEY_LIST, KEY_REQUIRED | KEY_EXTENDS, AT(sweep, phases), 1, CONFIG_MAX_PHASES, NULL, NULL,
     "the steps of the search"},
    {"phases.name", KEY_TEXT, KEY_REQUIRED, AT(phase, name), NO_RANGE, NULL, NULL,
     "how other phases and the report refer to it"},
    {"phases.axes", KEY_LIST, 0, AT(phase, axes), 0, CONFIG_MAX_AXES, "none", NULL,
     "what is varied, as a full grid; without axes the structure reached so far is trained"},
    {"phases.axes.var", KEY_OTHER, KEY_REQUIRED, AT(axis, var), NO_RANGE, NULL,
     "name of a coordinate or dimension, lr or batch_tokens", "what the axis moves"},
    {"phases.axes.factor", KEY_NUM, KEY_OPEN_LO, AT(axis, factor), 1, 1000, "1.5", NULL,
     "ratio of neighbours on a grid `around` something"},
    {"phases.axes.points", KEY_INT, 0, AT(axis, n), 1, CONFIG_MAX_POINTS, "5", NULL,
     "how many values a grid `around` something has"},
    {"phases.axes.values", KEY_OTHER, 0, AT(axis, values), NO_RANGE, "none",
     "list of 1 to 64 numbers, ascending", "the values themselves"},
    {"phases.axes.fractions", KEY_OTHER, 0, AT(axis, values), NO_RANGE, "none",
     "list of 1 to 64 numbers, ascending, 0 to 1",
     "for d: places in the list of its feasible values, 0 the narrowest, 1 the widest"},
    {"phases.axes.around", KEY_OTHER, 0, AT(axis, center), NO_RANGE, "none",
     "\"adopted\", number or rule in C",
     "centre of a geometric grid; adopted: what earlier phases found, else the start value"},
    {"phases.fits", KEY_LIST, 0, AT(phase, fits), 0, CONFIG_MAX_AXES, "none", NULL,
     "curves that are fitted per scale when the phase's runs are done"},
    {"phases.fits.axis", KEY_OTHER, KEY_REQUIRED, AT(fit_spec, axis), NO_RANGE, NULL,
     "name of one of the phase's axes", "against what the loss is fitted"},
    {"phases.fits.form", KEY_CHOICE, 0, AT(fit_spec, form), NO_RANGE, "logquad", curve_forms,
     "the curve; `density` is for x, `expansion` for y, `quad` the paper's for d"},
    {"phases.fits.grow", KEY_INT, 0, AT(fit_spec, grow), 0, 32, "0", NULL,
     "values that may be added beyond an edge of the grid that the optimum's interval reaches"},
    {"phases.fits.adopt", KEY_BOOL, 0, AT(fit_spec, adopt), NO_RANGE, "true", NULL,
     "the optimum becomes the scale's value for the phases after this one"},
    {"phases.scales", KEY_OTHER, 0, AT(phase, scales), NO_RANGE, "all",
     "list of numbers, each one of the sweep's scales", "where the phase runs"},
    {"phases.after", KEY_OTHER, 0, AT(phase, after), NO_RANGE, "none",
     "list of names of phases that stand before this one",
     "phases that must have decided (at the same scale) before this one starts"},
    {"phases.set", KEY_GROUP, 0, NO_FIELD, NO_RANGE, NULL, NULL, "overrides for this phase alone"},
    {"phases.set.*", KEY_OTHER, 0, NO_FIELD, NO_RANGE, "none",
     "number or rule in C, for a coordinate or dimension, lr or batch_tokens",
     "its value in this phase, whatever was adopted"},
    {"phases.seeds", KEY_INT, 0, AT(phase, seeds), 1, CONFIG_MAX_SEEDS, "1", NULL,
     "replicates of every point: runs that differ in initialisation and data order"},
    {"phases.rounds", KEY_INT, 0, AT(phase, rounds), 1, 20, "1", NULL,
     "repeat at most so often around what the last round adopted, while the law still moves"},
    {"phases.analysis", KEY_CHOICE, 0, AT(phase, analysis), NO_RANGE, "none", "none|rank|fairness",
     "`rank`: the rank-preservation test; `fairness`: spread of losses at equal M and at equal triad"},
    {"phases.early_stop", KEY_GROUP, 0, NO_FIELD, NO_RANGE, NULL, NULL,
     "runs that are far above the best run of the phases before end early (method.md); for a phase with "
     "`after` or `rounds` and without `analysis`"},
    {"phases.early_stop.at", KEY_OTHER, 0, AT(phase, stop.at), NO_RANGE, "none",
     "list of 1 to 4 numbers, ascending, above 0 to below 1",
     "shares of a run's steps at which its training loss is compared"},
    {"phases.early_stop.margin", KEY_NUM, KEY_OPEN_LO, AT(phase, stop.margin), 0, 10, "0.1", NULL,
     "a run ends if it is above the best run by more than this share of the loss"},

    {"band", KEY_NUM, KEY_OPEN_LO | KEY_OPEN_HI | KEY_EXTENDS, AT(sweep, band), 0, 1, "0.001", NULL,
     "near-optimal means a loss within this share of the best, or within what the noise resolves"},
    {"bootstrap", KEY_INT, KEY_EXTENDS, AT(sweep, n_boot), 0, CURVE_MAX_BOOT, "400", NULL,
     "resamples behind every interval; 0: no intervals"},
    {"recommend", KEY_GROUP, KEY_EXTENDS, NO_FIELD, NO_RANGE, NULL, NULL, "the architecture named at the end"},
    {"recommend.budget_factor", KEY_NUM, KEY_OPEN_LO, AT(sweep, recommend.budget_factor), 0, 1e6,
     "10", NULL, "its compute over that of the largest scale"},
    {"recommend.max_total_params", KEY_NUM, 0, AT(sweep, recommend.max_total_params), 0, 1e18, "0",
     NULL, "limit on its total parameters N; 0: none"},

    {"trainer", KEY_TEXT, 0, AT(sweep, trainer), NO_RANGE, "moetrain {job}", NULL,
     "command that trains a job; {job} stands for the job's file, {width} for its width"},
    {"device", KEY_TEXT, 0, AT(sweep, base.device), NO_RANGE, "cpu", NULL,
     "what the trainer runs on; moetrain knows cpu and cuda"},
    {"threads", KEY_INT, 0, AT(sweep, base.threads), 1, 1024, "1", NULL,
     "threads of one trainer"},
    {"width", KEY_RULE, KEY_WHOLE, AT(sweep, width), 1, 4096, "1", "integer or rule in C",
     "workers of one machine whose processors and GPUs each run takes; more than 1 only for a trainer of your own"},
    {"checkpoints", KEY_BOOL, KEY_LOOSE, AT(sweep, checkpoints), NO_RANGE, "true", NULL,
     "a run that was stopped goes on where it was; false, for a trainer that cannot: it starts only if it will end within the time limit"},
    {"memory_limit", KEY_NUM, KEY_LOOSE, AT(sweep, memory_limit), 0, 1e9, "0", NULL,
     "GB of memory above which a trainer, with what it has started, is ended as `oom`; 0: twice what a run of moetrain should need and 1 GB, no limit on a GPU's host or for another trainer"},
    {"pin", KEY_BOOL, KEY_LOOSE, AT(sweep, pin), NO_RANGE, "true", NULL,
     "each trainer of a machine gets processors and GPUs of its own, if there are enough"},
    {"retries", KEY_INT, KEY_LOOSE, AT(sweep, retries), 0, 100, "2", NULL,
     "how often a run that crashed is tried again"},
    {"trainer_silence_s", KEY_NUM, KEY_LOOSE, AT(sweep, trainer_silence_s), 0, 1e6, "3600", NULL,
     "a trainer that printed nothing for so many seconds hangs: it is killed, as a crash; 0: never"},
    {"checkpoint_every_s", KEY_NUM, KEY_LOOSE, AT(sweep, base.checkpoint.every_s), 0, 1e6, "60",
     NULL, "seconds between a run's checkpoints; 0: one alone, when the run is stopped"},
    {"checkpoint_keep", KEY_BOOL, KEY_LOOSE, AT(sweep, base.checkpoint.keep), NO_RANGE, "false", NULL,
     "every run's last checkpoint stays (moetrain export reads it)"},
    {"price_per_hour", KEY_NUM, KEY_LOOSE, AT(sweep, price_per_hour), 0, 1e6, "0", NULL,
     "of one worker, for the plan's costs; 0: not priced"},
};
// clang-format on
const int config_n_keys = sizeof config_keys / sizeof *config_keys;

const char *key_in(const struct key *k, const char *section)
{
    size_t n = strlen(section);
    const char *rest = k->path;
    if (n > 0) {
        if (strncmp(rest, section, n) != 0 || rest[n] != '.')
            return NULL;
        rest += n + 1;
    }
    return strchr(rest, '.') ? NULL : rest;
}

const struct key *key_find(const char *path)
{
    const char *dot = strrchr(path, '.');
    size_t parent = dot ? (size_t)(dot - path) + 1 : 0;
    for (int i = 0; i < config_n_keys; i++) {
        const char *p = config_keys[i].path;
        if (strcmp(p, path) == 0)
            return &config_keys[i];
        if (parent > 0 && strncmp(p, path, parent) == 0 && strcmp(p + parent, "*") == 0)
            return &config_keys[i];
    }
    return NULL;
}

int choice_find(const char *choices, const char *name)
{
    size_t len = strlen(name);
    int index = 0;
    for (const char *p = choices; *p; index++) {
        size_t n = strcspn(p, "|");
        if (n == len && memcmp(p, name, n) == 0)
            return index;
        p += n + (p[n] == '|');
    }
    return -1;
}

bool key_in_range(const struct key *k, double v)
{
    if (k->lo > k->hi)
        return true;
    bool low = k->flags & KEY_OPEN_LO ? v > k->lo : v >= k->lo;
    bool high = k->flags & KEY_OPEN_HI ? v < k->hi : v <= k->hi;
    return low && high;
}

void key_set_default(const struct key *k, void *base)
{
    void *field = (char *)base + k->offset;
    if (!k->deflt)
        return;
    switch (k->type) {
    case KEY_INT:
        *(int *)field = (int)strtol(k->deflt, NULL, 10);
        break;
    case KEY_I64:
        *(int64_t *)field = strtoll(k->deflt, NULL, 10);
        break;
    case KEY_NUM:
        *(double *)field = strtod(k->deflt, NULL);
        break;
    case KEY_BOOL:
        *(bool *)field = strcmp(k->deflt, "true") == 0;
        break;
    case KEY_TEXT:
        snprintf(field, k->size, "%s", k->deflt);
        break;
    case KEY_CHOICE:
        *(int *)field = choice_find(k->shape, k->deflt);
        break;
    case KEY_RULE:
        *(struct rule *)field = (struct rule){.value = strtod(k->deflt, NULL)};
        break;
    case KEY_GROUP:
    case KEY_LIST:
    case KEY_OTHER:
        break;
    }
}

static const char *type_name(const struct key *k)
{
    switch (k->type) {
    case KEY_INT:
    case KEY_I64:
        return "integer";
    case KEY_NUM:
        return "number";
    case KEY_BOOL:
        return "true or false";
    case KEY_GROUP:
        return "group";
    case KEY_LIST:
        return "list of groups";
    case KEY_TEXT:
    case KEY_CHOICE:
        return "text";
    case KEY_RULE:
    case KEY_OTHER:
        break;
    }
    return k->shape;
}

static void print_range(const struct key *k, char *buf, size_t size)
{
    if (k->type == KEY_LIST)
        snprintf(buf, size, "%g to %g groups", k->lo, k->hi);
    else if (k->type == KEY_TEXT && !k->shape)
        snprintf(buf, size, "%d to %zu bytes", k->flags & KEY_REQUIRED ? 1 : 0, k->size - 1);
    else if (k->lo <= k->hi)
        snprintf(buf, size, "%s%.16g to %s%.16g", k->flags & KEY_OPEN_LO ? "above " : "", k->lo,
                 k->flags & KEY_OPEN_HI ? "below " : "", k->hi);
    else
        buf[0] = '\0';
}

static bool has_choices(const struct key *k)
{
    return k->type == KEY_CHOICE || (k->type == KEY_TEXT && k->shape);
}

static void print_choices(const struct key *k, const char *quote, char *buf, size_t size)
{
    size_t used = 0;
    buf[0] = '\0';
    for (const char *p = k->shape; *p && used < size;) {
        size_t n = strcspn(p, "|");
        int w = snprintf(buf + used, size - used, "%s%s%.*s%s", used ? " or " : "", quote,
                         (int)n, p, quote);
        used += w > 0 ? (size_t)w : 0;
        p += n + (p[n] == '|');
    }
}

void key_expected(const struct key *k, char *buf, size_t size)
{
    char range[96];
    if (has_choices(k)) {
        print_choices(k, "\"", buf, size);
        return;
    }
    print_range(k, range, sizeof range);
    snprintf(buf, size, "%s%s%s", type_name(k), *range ? ", " : "", range);
}

static void print_row(FILE *f, const struct key *k)
{
    char range[160];
    if (has_choices(k))
        print_choices(k, "`", range, sizeof range);
    else
        print_range(k, range, sizeof range);
    const char *deflt = k->flags & KEY_REQUIRED                    ? "required"
                        : !k->deflt                                ? ""
                        : k->type == KEY_TEXT && *k->deflt == '\0' ? "empty"
                                                                   : k->deflt;
    const char *may = k->flags & KEY_LOOSE ? " (may change between a run and its resumption)"
                      : k->flags & KEY_EXTENDS ? " (may change in an extension)"
                                               : "";
    fprintf(f, "| `%s` | %s | %s | %s | %s%s |\n", k->path, type_name(k), range, deflt,
            k->meaning, may);
}

enum err config_key_tables(char **text)
{
    size_t size;
    FILE *f = open_memstream(text, &size);
    ENSURE(f, ERR_FAILED, "out of memory");
    fprintf(f, "| Key | Type | Range | Default | Meaning |\n|---|---|---|---|---|\n");
    for (int i = 0; i < config_n_keys; i++)
        print_row(f, &config_keys[i]);
    ENSURE(fclose(f) == 0, ERR_FAILED, "out of memory");
    return OK;
}

bool var_find(const char *name, struct var *out)
{
    *out = (struct var){.index = coord_find(name)};
    snprintf(out->name, sizeof out->name, "%s", name);
    if (out->index >= 0) {
        out->kind = VAR_COORD;
        return true;
    }
    out->index = arch_dim_find(name);
    out->kind = VAR_DIM;
    if (out->index >= 0)
        return out->index != DIM_V;
    out->kind = strcmp(name, "lr") == 0 ? VAR_LR : VAR_BATCH;
    out->index = 0;
    return out->kind == VAR_LR || strcmp(name, "batch_tokens") == 0;
}

void var_range(const struct var *v, double *lo, double *hi, bool *integer)
{
    *integer = v->kind == VAR_DIM;
    if (v->kind == VAR_DIM) {
        bool may_be_zero =
            v->index == DIM_L_d || v->index == DIM_L_m || v->index == DIM_n_shared;
        *lo = may_be_zero ? 0 : 1;
        *hi = 1 << 24;
        return;
    }
    const struct key *k = key_find(v->kind == VAR_LR ? "train.lr" : "train.batch_tokens");
    *lo = v->kind == VAR_LR ? DBL_MIN : k->lo;
    *hi = k->hi;
    if (v->kind != VAR_COORD)
        return;
    switch ((enum coord)v->index) {
    case COORD_s:
    case COORD_z:
        *lo = 0;
        *hi = 1 - DBL_EPSILON; // a share below 1
        break;
    case COORD_x:
        *lo = 6 * (1 + DBL_EPSILON); // M > 6 N_a whatever the structure
        *hi = 1e6;
        break;
    case COORD_y:
        *lo = 1;
        *hi = 1e6;
        break;
    case COORD_r:
    case COORD_G:
    case COORD_g:
        *lo = DBL_MIN;
        *hi = 1e6;
        break;
    case COORD_M:
    case COORD_N_a:
    case COORD_N:
    case N_COORDS:
        *lo = 1;
        *hi = 1e18;
        break;
    }
}
