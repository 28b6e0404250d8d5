// SPDX-License-Identifier: Apache-2.0
// Streams and events. Work is queued, and runs when the host waits for it: then everything that
// it must come after runs, and nothing else, in an order that the schedule picks. So whatever
// lacks a wait is late at least under some schedule.
#include "runtime.h"
#include <deque>
#include <algorithm>
#include <memory>
#include <pthread.h>
#include <vector>

struct emu_work {
    const char *what;
    std::function<void()> run;
    CUstream_st *stream;
    std::vector<std::shared_ptr<emu_work>> after; // besides what its stream has before it
    uint64_t number;
    bool needed = false, done = false;
    void *start = emu_race_object_new(); // orders the host's past before it,
    void *end = emu_race_object_new();   // and it before its waiters
    emu_work() = default;
    emu_work(const emu_work &) = delete;
    ~emu_work()
    {
        emu_race_object_free(start);
        emu_race_object_free(end);
    }
};

struct CUstream_st {
    bool blocking; // waits for the legacy default stream, and that for it
    std::deque<std::shared_ptr<emu_work>> queue;
    std::shared_ptr<emu_work> last; // also when done
    void *race_context;
};

struct CUevent_st {
    std::shared_ptr<emu_work> work; // null: never recorded
    bool asked;
};

// Nothing here is destroyed at the end of the process, when leaks are looked for.
static CUstream_st &legacy = *new CUstream_st{true, {}, nullptr, nullptr};
static std::vector<CUstream_st *> &streams = *new std::vector<CUstream_st *>{&legacy};
static uint64_t issued;

static CUstream_st *stream_of(cudaStream_t stream)
{
    return !stream || stream == cudaStreamLegacy ? &legacy : stream;
}

bool emu_stream_exists(cudaStream_t stream)
{
    for (const CUstream_st *s : streams)
        if (s == stream_of(stream))
            return true;
    return false;
}

static void one_host_thread()
{
    static const pthread_t first = pthread_self();
    if (!pthread_equal(first, pthread_self()))
        emu_abort("the emulator takes CUDA calls from one host thread only");
}

static std::shared_ptr<emu_work> enqueue(CUstream_st *stream, const char *what,
                                         std::function<void()> run)
{
    one_host_thread();
    auto work = std::make_shared<emu_work>();
    work->what = what;
    work->run = std::move(run);
    work->stream = stream;
    work->number = issued++;
    if (!stream->race_context)
        stream->race_context = emu_race_context_new();
    if (stream == &legacy) {
        for (const CUstream_st *s : streams)
            if (s != stream && s->blocking && s->last)
                work->after.push_back(s->last);
    } else if (stream->blocking && legacy.last) {
        work->after.push_back(legacy.last);
    }
    emu_race_release(work->start);
    stream->queue.push_back(work);
    stream->last = work;
    return work;
}

void emu_enqueue(cudaStream_t stream, const char *what, std::function<void()> run)
{
    enqueue(stream_of(stream), what, std::move(run));
}

// ---- running --------------------------------------------------------------------------------

static void run(emu_work *work)
{
    void *host = emu_race_enter(work->stream->race_context);
    emu_race_acquire(work->start);
    for (const auto &before : work->after)
        emu_race_acquire(before->end);
    emu_race_ignore(true);
    if (work->run)
        work->run();
    work->run = nullptr;
    emu_race_ignore(false);
    emu_race_release(work->end);
    emu_race_enter(host);
    work->after.clear();
    work->done = true;
}

static void need(emu_work *target)
{
    std::vector<emu_work *> open = {target};
    while (!open.empty()) {
        emu_work *work = open.back();
        open.pop_back();
        if (work->done || work->needed)
            continue;
        for (const auto &before : work->stream->queue) {
            if (!before->needed) {
                before->needed = true;
                for (const auto &other : before->after)
                    open.push_back(other.get());
            }
            if (before.get() == work)
                break;
        }
    }
}

static bool can_run(const emu_work *work)
{
    for (const auto &before : work->after)
        if (!before->done)
            return false;
    return work->needed;
}

// The stream whose head runs next; null when nothing that is needed is left.
static CUstream_st *next_stream()
{
    std::vector<CUstream_st *> ready;
    for (CUstream_st *s : streams)
        if (!s->queue.empty() && can_run(s->queue.front().get()))
            ready.push_back(s);
    if (ready.empty())
        return nullptr;
    std::sort(ready.begin(), ready.end(), [](const CUstream_st *a, const CUstream_st *b) {
        return a->queue.front()->number < b->queue.front()->number;
    });
    return ready[(size_t)emu_pick((int64_t)ready.size())];
}

static void run_needed()
{
    CUstream_st *stream = next_stream();
    if (!stream)
        return;
    emu_device_enter();
    for (; stream; stream = next_stream()) {
        std::shared_ptr<emu_work> work = stream->queue.front();
        run(work.get());
        stream->queue.pop_front();
    }
    emu_device_leave();
    emu_memory_idle();
}

bool emu_idle()
{
    for (const CUstream_st *s : streams)
        if (!s->queue.empty())
            return false;
    return true;
}

static void wait_for(emu_work *work)
{
    if (!work)
        return;
    need(work);
    run_needed();
    emu_race_acquire(work->end);
}

void emu_synchronize(cudaStream_t stream)
{
    one_host_thread();
    wait_for(stream_of(stream)->last.get());
}

void emu_synchronize_all()
{
    one_host_thread();
    for (CUstream_st *s : streams)
        if (s->last)
            need(s->last.get());
    run_needed();
    for (CUstream_st *s : streams)
        if (s->last)
            emu_race_acquire(s->last->end);
}

// ---- the API --------------------------------------------------------------------------------

extern "C" {
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    *stream = new CUstream_st{!(flags & cudaStreamNonBlocking), {}, nullptr, nullptr};
    streams.push_back(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int)
{
    return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    if (!stream || !emu_stream_exists(stream))
        return emu_error(cudaErrorInvalidResourceHandle);
    if (stream->last) {
        need(stream->last.get());
        run_needed();
    }
    for (size_t i = 0; i < streams.size(); i++)
        if (streams[i] == stream)
            streams.erase(streams.begin() + (ptrdiff_t)i);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    if (!emu_stream_exists(stream))
        return emu_error(cudaErrorInvalidResourceHandle);
    emu_synchronize(stream);
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize()
{
    emu_synchronize_all();
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    if (!event || !emu_stream_exists(stream))
        return emu_error(cudaErrorInvalidResourceHandle);
    if (event->work)
        enqueue(stream_of(stream), "cudaStreamWaitEvent", nullptr)
            ->after.push_back(event->work);
    return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data)
{
    if (!emu_stream_exists(stream))
        return emu_error(cudaErrorInvalidResourceHandle);
    emu_enqueue(stream, "cudaLaunchHostFunc", [=] { function(data); });
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    *event = new CUevent_st{nullptr, false};
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    if (!event)
        return emu_error(cudaErrorInvalidResourceHandle);
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    if (!event || !emu_stream_exists(stream))
        return emu_error(cudaErrorInvalidResourceHandle);
    event->work = enqueue(stream_of(stream), "cudaEventRecord", nullptr);
    event->asked = false;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    if (!event)
        return emu_error(cudaErrorInvalidResourceHandle);
    wait_for(event->work.get());
    return cudaSuccess;
}

// Not ready when asked first, whatever was recorded: the caller must cope with that.
cudaError_t cudaEventQuery(cudaEvent_t event)
{
    if (!event)
        return emu_error(cudaErrorInvalidResourceHandle);
    if (event->work && !event->work->done && !event->asked) {
        event->asked = true;
        return cudaErrorNotReady;
    }
    return cudaEventSynchronize(event);
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    static uint64_t asked = UINT64_MAX;
    if (!emu_stream_exists(stream))
        return emu_error(cudaErrorInvalidResourceHandle);
    const emu_work *last = stream_of(stream)->last.get();
    if (last && !last->done && asked != last->number) {
        asked = last->number;
        return cudaErrorNotReady;
    }
    return cudaStreamSynchronize(stream);
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end)
{
    if (!start || !end || !start->work || !end->work)
        return emu_error(cudaErrorInvalidResourceHandle);
    if (!start->work->done || !end->work->done)
        return cudaErrorNotReady;
    *milliseconds = 1e-3f; // an emulator has no time to tell
    return cudaSuccess;
}
}
