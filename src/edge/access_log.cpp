#include "edge/access_log.h"

#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/check.h"

namespace thole::edge {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

}  // namespace

// What an earlier edge had not written yet is written by this one; what it was just writing may
// stand there twice.
AccessLog::AccessLog(Segment& segment, const std::string& folder)
    : segment_(segment),
      asked_(::eventfd(0, EFD_CLOEXEC)),
      done_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      file_(folder) {
    CHECK(asked_.is_open() && done_.is_open());
    for (std::uint32_t i = 0; i < kWorkers; ++i) seen_[i] = segment.counters[i].box.taken.load();
    next_.reserve(kAccessBatch);
    batch_.reserve(kAccessBatch);
}

void AccessLog::start() {
    std::thread([this] { run(); }).detach();
}

void AccessLog::run() {
    ::prctl(PR_SET_NAME, "edge-access");
    while (true) {
        std::uint64_t value = 0;
        while (::read(asked_.get(), &value, sizeof(value)) != sizeof(value)) {}
        written_ = file_.append(batch_, dropped_);
        const std::uint64_t one = 1;
        [[maybe_unused]] const ssize_t told = ::write(done_.get(), &one, sizeof(one));
    }
}

void AccessLog::turn() {
    settle();
    for (std::uint32_t i = 0; i < kWorkers; ++i) take(i);
    hand_over();
}

void AccessLog::settle() {
    std::uint64_t value = 0;
    if (!is_busy_ || ::read(done_.get(), &value, sizeof(value)) != sizeof(value)) return;
    is_busy_ = false;
    segment_.access_written.store(segment_.access_written.load(kRelaxed) + written_, kRelaxed);
    drop(batch_.size() - std::min(written_, batch_.size()));
    for (std::uint32_t i = 0; i < kWorkers; ++i)
        segment_.counters[i].box.taken.store(settled_[i], kRelaxed);
}

void AccessLog::drop(std::uint64_t count) {
    segment_.access_dropped.store(segment_.access_dropped.load(kRelaxed) + count, kRelaxed);
}

// What has been overwritten before anybody looked may have been worth keeping.
void AccessLog::take(std::uint32_t worker) {
    const BlackBox& box = segment_.counters[worker].box;
    const std::uint64_t end = box.written.load(std::memory_order_acquire);
    std::uint64_t& seen = seen_[worker];
    for (; seen < end; ++seen) {
        if (const std::uint64_t first = box.first(); seen < first) {
            drop(std::min(first, end) - seen);
            seen = std::min(first, end);
            if (seen == end) return;
        }
        wire::RequestRecord record;
        const bool is_there = box.read_begin(seen, record);
        const Worth worth = is_there ? worth_of(record) : Worth::Always;
        if (worth == Worth::None) continue;
        if (is_there && box.read(seen, record)) {
            keep(record, worth);
        } else {
            drop(1);
        }
    }
}

void AccessLog::keep(const wire::RequestRecord& record, Worth worth) {
    if (next_.size() < kAccessBatch) {
        next_.push_back(record);
        return;
    }
    drop(1);
    if (worth != Worth::Always) return;
    const auto sample = std::find_if(next_.begin(), next_.end(), [](const auto& other) {
        return worth_of(other) == Worth::Sample;
    });
    if (sample != next_.end()) *sample = record;
}

void AccessLog::hand_over() {
    if (is_busy_) return;
    if (next_.empty()) {
        for (std::uint32_t i = 0; i < kWorkers; ++i)
            segment_.counters[i].box.taken.store(seen_[i], kRelaxed);
        return;
    }
    batch_.swap(next_);
    next_.clear();
    settled_ = seen_;
    dropped_ = segment_.access_dropped.load(kRelaxed);
    is_busy_ = true;
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t told = ::write(asked_.get(), &one, sizeof(one));
}

}  // namespace thole::edge
