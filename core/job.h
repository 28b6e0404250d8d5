// SPDX-License-Identifier: Apache-2.0
// The records that cross the process border: a job (orchestrator -> trainer) and its result
// (trainer -> orchestrator -> journal). Layout of the JSON: docs/trainer-protocol.md.
#ifndef CORE_JOB_H
#define CORE_JOB_H
#include "core/arch.h"

#define JOB_ID_LEN 17 // 16 hex digits at most, and the terminator
#define JOB_PATH_MAX 4096
#define CHECKPOINT_MAGIC "moeckpt2" // how a checkpoint file begins: format and version
#define JOB_CURVE_POINTS 48         // of a learning curve, at most: job_curve_step
#define JOB_CURVE_MAX 64            // of one that another trainer reports
#define JOB_MAX_STOPS 4

enum job_schedule { SCHEDULE_WSD, SCHEDULE_COSINE, SCHEDULE_LINEAR };
enum job_optimizer { OPTIMIZER_ADAMW, OPTIMIZER_MUON };
enum job_precision { PRECISION_F32, PRECISION_BF16 };
enum job_router { ROUTER_SOFTMAX, ROUTER_SIGMOID_BIAS };
enum job_data { DATA_TEXT, DATA_NANOGPT, DATA_LLMC, DATA_MEGATRON, DATA_EXTERNAL };

struct job_model {
    enum job_router router;
    bool norm_topk; // the K weights divided by their sum (never with K = 1 by default)
    bool tied;      // unembedding = embedding
    bool qk_norm;   // an RMSNorm with its own gain on every query and key head, before RoPE
    double rope_base;
    double init_scale;
};

struct job_train {
    int64_t tokens;       // D; whole batches are run: job_steps
    int64_t batch_tokens; // a multiple of S
    double batch_ramp;    // share of the tokens over which the batch grows to batch_tokens
    int64_t micro_tokens; // of a batch at most so many at a time; 0: job_micro_tokens' rule
    double lr;            // peak
    enum job_schedule schedule;
    double warmup, decay; // fractions of all steps (decay: linear to zero, WSD only)
    double wd, beta1, beta2, clip;
    double aux; // weight of the load-balancing loss, per layer
    enum job_optimizer optimizer;
    enum job_precision precision; // of matrix products; weights, moments and sums are f32
    int64_t seed;
};

// A point of a learning curve: the mean training loss of the steps since the point before.
struct job_point {
    int64_t step;
    double loss;
};

struct job {
    char id[JOB_ID_LEN];
    struct arch arch;
    struct {
        enum job_data kind;
        char **paths; // n_paths, owned
        int n_paths;
        double held; // share of documents held out for validation
        int64_t eot; // nanogpt, llmc: the token that ends a document; -1: none
    } data;
    struct job_train train;
    struct job_model model;
    struct {
        char from[JOB_PATH_MAX]; // a checkpoint whose weights the model starts with; "": random
        char hash[17];           // of that file's content, 16 hex digits; "": not known yet
        double noise;            // relative sd of what is added to copied experts
    } init;
    int threads;     // that share each batch
    int width;       // workers of one machine whose processors and GPUs it has
    char device[16]; // "cpu", "cuda"; other trainers may know others
    struct {
        char dir[JOB_PATH_MAX]; // "" = no checkpoints
        double every_s;
        bool keep; // the last one stays when the run ends
    } checkpoint;
    struct {
        int64_t tokens; // of held-out text used, from its start
        int64_t every;  // steps between intermediate validations; 0: only at the end
    } val;
    // At these steps of its learning curve, ascending, the run ends as pruned if its point lies
    // above the loss.
    int n_stop;
    struct job_point stop[JOB_MAX_STOPS];
};

// JOB_PRUNED: ended before its last step, as its learning curve was above one of job.stop.
enum job_status { JOB_OK, JOB_DIVERGED, JOB_OOM, JOB_STOPPED, JOB_FAILED, JOB_PRUNED };
const char *job_status_name(enum job_status s);

struct job_result {
    char id[JOB_ID_LEN];
    enum job_status status;
    double loss, loss_per_byte; // nats per token, per byte of held-out text; NaN unless JOB_OK;
                                // the second also NaN for tokens, whose bytes nobody knows
    int64_t tokens;             // trained in this run: D, D2 of an upcycled model
    int64_t init_tokens;        // behind the weights that it started with: D1
    double seconds, flops;      // training wall time; executed FLOPs (paper's M x tokens apart)
    int64_t peak_bytes;
    double balance;  // largest expert's load over the mean, worst layer, last steps
    double epochs;   // tokens over those of the training data; NaN: the trainer did not say
    char cause[256]; // what went wrong, "" when ok
    int n_curve;     // 0: none, or none that can be read
    struct job_point curve[JOB_CURVE_MAX]; // loss NaN: not a number
};

// Defaults for everything that has one (docs/trainer-protocol.md lists them); arch unset.
void job_init(struct job *j);
void job_free(struct job *j);
// Deep copy; dst need not be initialised. ERR_FAILED when memory is short.
enum err job_copy(struct job *dst, const struct job *src);
json_t *job_to_json(const struct job *j);
// Strict: unknown keys, wrong types, absurd values are ERR_INPUT naming ctx and key.
enum err job_from_json(json_t *obj, const char *ctx, struct job *out);
// Sets j->id to 12 hex digits of a hash over everything that determines the loss, threads
// and width included where they are more than one: not checkpoint, val.every or the id itself;
// of data paths only the file names, of init.from only the content's hash if it is known, so
// that another folder is the same work. Jobs without stops have the ids that they have always
// had.
void job_set_id(struct job *j);
// Whether it trains in memory other than the host's.
bool job_on_device(const struct job *j);
// Tokens of a batch that pass through the model together, at most: whole sequences, one at
// least, of train.micro_tokens; without that the whole batch, on a device JOB_DEVICE_MICRO
// tokens. A function of the job alone: a larger machine gives the same bits.
#define JOB_DEVICE_MICRO 16384
int64_t job_micro_tokens(const struct job *j);
// Steps of the whole run, and tokens trained after `step` of them (all of them: what the run
// trains). A step is taken while at least half of it is left of D = train.tokens, so that the
// total is within half a batch of D; without a ramp that is round(D / batch_tokens) steps.
// batch_ramp r > 0: with B sequences a full batch and b0 = max(1, round(B/8)), a step that
// starts after n tokens takes
//
//     b0 + floor((B - b0) min(1, n / (r D)))   sequences,
//
// so the batch grows linearly in the tokens seen. Pure functions of the job: a resumed run
// needs no state. They take a time proportional to B.
int64_t job_steps(const struct job *j);
int64_t job_tokens_after(const struct job *j, int64_t step);
// The learning curve of a run of so many steps: min(JOB_CURVE_POINTS, steps) points, point i
// (from 1) at step floor(i steps / points).
int64_t job_curve_step(int64_t steps, int64_t point);
// Its points at steps up to and including this one.
int64_t job_curve_passed(int64_t steps, int64_t step);
// Whether the run ends at this point of its learning curve, as hopeless, and why in words.
bool job_stops_at(const struct job *j, struct job_point at, char *why, size_t size);
// Trainer's spelling: {"t":"result","status":..}; the id is added as "id". The curve is read
// and not written: whoever says a result has a curve of its own to add.
json_t *job_result_to_json(const struct job_result *r);
enum err job_result_from_json(json_t *obj, const char *ctx, struct job_result *out);
#endif
