#include "control/store.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>

#include "control/database.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

constexpr Duration kWriteRetryEvery = 1s;
// So that after a long trouble the first `done` does not wait for everything that queued up.
constexpr std::size_t kBatchesPerTransactionMax = 256;

// Merges what the disk holds with what is on its way there; a row may be in both.
std::vector<model::TimelineRow> merge_timeline(std::vector<model::TimelineRow> stored,
                                               const std::vector<model::TimelineRow>& coming,
                                               const TimelineQuery& query) {
    std::map<std::int64_t, model::TimelineRow> rows;
    for (model::TimelineRow& row : stored) rows.insert_or_assign(row.sequence, std::move(row));
    for (const model::TimelineRow& row : coming) rows.insert_or_assign(row.sequence, row);
    while (std::cmp_greater(rows.size(), std::max<std::int64_t>(query.limit, 0))) {
        rows.erase(rows.begin());
    }
    std::vector<model::TimelineRow> merged;
    merged.reserve(rows.size());
    for (auto& [sequence, row] : rows) merged.push_back(std::move(row));
    return merged;
}

}  // namespace

// What work off the loop uses. It may outlive the store in Background's queue; whoever comes after
// the store's end finds it closed.
class StoreWorkplace {
public:
    StoreWorkplace(env::Files& files, const std::string& path) : database(files, path) {}

    // Does the work unless the store has ended.
    template <typename Work>
    void enter(Work work) {
        State free = State::Free;
        if (!state_.compare_exchange_strong(free, State::Busy)) return;
        work();
        state_.store(State::Free);
        state_.notify_one();
    }
    // Waits for the work that is under way; there is none after that.
    void close() {
        State free = State::Free;
        while (!state_.compare_exchange_strong(free, State::Closed)) {
            state_.wait(State::Busy);
            free = State::Free;
        }
        database.close();
    }

    Database database;

private:
    enum class State { Free, Busy, Closed };
    std::atomic<State> state_ = State::Free;
};

struct Store::Inside {
    struct PendingBatch {
        std::shared_ptr<const Batch> batch;
        std::function<void()> done;
    };

    Inside(env::Env& given, const std::string& path)
        : env(given), work(std::make_shared<StoreWorkplace>(given.files, path)) {}
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;
    ~Inside() {
        *alive = false;
        work->close();
    }

    void fell_into_trouble(const Error& error);
    void write_on();
    void wrote(std::size_t count, const Database::Applied& applied);
    std::vector<model::TimelineRow> on_their_way(const TimelineQuery& query) const;

    env::Env& env;
    std::shared_ptr<StoreWorkplace> work;
    std::shared_ptr<bool> alive = std::make_shared<bool>(true);
    Stored stored;
    std::deque<PendingBatch> pending;  // The first of them may be under way.
    bool is_writing = false;
    std::string trouble;
    env::Timer retry;
    bool is_waiting = false;  // For the retry.
};

void Store::Inside::fell_into_trouble(const Error& error) {
    trouble = error.text();
    is_waiting = true;
    retry = env.timers.after(kWriteRetryEvery, [this] {
        is_waiting = false;
        write_on();
    });
}

// Starts a transaction of what waits, unless one is under way. In trouble also one of nothing: it
// finds out whether the trouble is over.
void Store::Inside::write_on() {
    if (is_writing || is_waiting || (pending.empty() && trouble.empty())) return;
    struct Job {
        std::vector<std::shared_ptr<const Batch>> batches;
        Database::Applied applied;
    };
    const std::shared_ptr<Job> job = std::make_shared<Job>();
    const std::size_t count = std::min(pending.size(), kBatchesPerTransactionMax);
    for (std::size_t i = 0; i < count; ++i) job->batches.push_back(pending[i].batch);
    is_writing = true;
    env.background.run(
        [job, place = work, wall = env.clock.wall()] {
            place->enter([&] { job->applied = place->database.apply(job->batches, wall); });
        },
        [this, job, still = alive] {
            if (*still) wrote(job->batches.size(), job->applied);
        });
}

// The next transaction starts before the callbacks, so the disk does not wait for them. A callback
// may destroy the store.
void Store::Inside::wrote(std::size_t count, const Database::Applied& applied) {
    is_writing = false;
    if (applied.unwritten) return fell_into_trouble(*applied.unwritten);
    std::vector<std::function<void()>> done;
    for (std::size_t i = 0; i < count; ++i) {
        done.push_back(std::move(pending.front().done));
        pending.pop_front();
    }
    trouble.clear();
    if (applied.unsettled) fell_into_trouble(*applied.unsettled);
    write_on();
    const std::shared_ptr<bool> still = alive;
    for (const std::function<void()>& call : done) {
        if (call) call();
        if (!*still) return;
    }
}

std::vector<model::TimelineRow> Store::Inside::on_their_way(const TimelineQuery& query) const {
    std::vector<model::TimelineRow> rows;
    for (const PendingBatch& waiting : pending) {
        for (const Change& change : *waiting.batch) {
            const auto* row = std::get_if<model::TimelineRow>(&change);
            if (row == nullptr || row->sequence <= query.after) continue;
            if (query.service.empty() || row->service == query.service) rows.push_back(*row);
        }
    }
    return rows;
}

Store::Store(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(env::Env& env, const std::string& path) {
    std::unique_ptr<Inside> inside = std::make_unique<Inside>(env, path);
    inside->stored = TRY(inside->work->database.open_first(env.clock.wall()));
    if (const std::optional<Error>& stale = inside->work->database.stale_log()) {
        inside->fell_into_trouble(*stale);
    }
    return std::unique_ptr<Store>(new Store(std::move(inside)));
}

Stored Store::take_stored() { return std::exchange(inside_->stored, {}); }

void Store::commit(Batch batch, std::function<void()> done) {
    inside_->pending.push_back({std::make_shared<const Batch>(std::move(batch)), std::move(done)});
    inside_->write_on();
}

const std::string& Store::trouble() const { return inside_->trouble; }

void Store::read_timeline(const TimelineQuery& query,
                          std::function<void(Result<std::vector<model::TimelineRow>>)> done) {
    struct Job {
        TimelineQuery query;
        std::vector<model::TimelineRow> coming;
        std::vector<model::TimelineRow> rows;
        std::optional<Error> error;
    };
    const std::shared_ptr<Job> job =
        std::make_shared<Job>(Job{query, inside_->on_their_way(query), {}, {}});
    inside_->env.background.run(
        [job, place = inside_->work, wall = inside_->env.clock.wall()] {
            place->enter([&] {
                Result<std::vector<model::TimelineRow>> read =
                    place->database.read_timeline(job->query, wall);
                if (!read) {
                    job->error = std::move(read).error();
                } else {
                    job->rows = merge_timeline(std::move(*read), job->coming, job->query);
                }
            });
        },
        [job, done = std::move(done), still = inside_->alive] {
            if (!*still) return;
            if (job->error) return done(std::move(*job->error));
            done(std::move(job->rows));
        });
}

}  // namespace thole::control
