// billing: takes the money for an order, exactly once, whatever happens and however often it is
// asked.
//
// A charge is one row whose key is the order's id, written with synchronous=FULL before the answer
// leaves. What *arrived* is kept apart, in a plain file, one line "id request-id" per POST: so that
// an outsider can tell "asked once" from "asked twice and found to be known".
// A thread per connection; plain HTTP/1.1 with Content-Length, which is all that its callers send.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sqlite3.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace {

constexpr size_t kHeadMax = 16 * 1024;
constexpr size_t kBodyMax = 64 * 1024;
constexpr int kIdleMs = 75'000;
constexpr int kConnectionsMax = 256;

int stop_pipe[2] = {-1, -1};  // Readable once SIGTERM came; never read, so every thread sees it.
std::atomic<int> open_connections{0};

struct CaseLess {
    bool operator()(const std::string& a, const std::string& b) const {
        return strcasecmp(a.c_str(), b.c_str()) < 0;
    }
};

struct Request {
    std::string method, path, query, body;
    std::map<std::string, std::string, CaseLess> headers;

    std::string header(const char* name) const {
        auto found = headers.find(name);
        return found == headers.end() ? "" : found->second;
    }
};

struct Answer {
    int status = 200;
    std::string body;
    const char* type = "application/json";
};

std::string setting(const char* name, const char* remedy) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
    std::fprintf(stderr, "billing: %s is not set\n  try: %s\n", name, remedy);
    std::exit(2);
}

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

// Ids may stand in JSON, in a path and in a line of the log as they are.
bool is_id(std::string_view text) {
    return !text.empty() && text.size() <= 128 && std::all_of(text.begin(), text.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
               std::strchr("-_.:", c) != nullptr;
    });
}

std::string id_or_dash(const std::string& text) { return is_id(text) ? text : "-"; }

void say(const char* level, const std::string& message, const Request& request) {
    std::printf(R"({"level":"%s","message":"%s","request_id":"%s","traceparent":"%s"})"
                "\n",
                level, message.c_str(), id_or_dash(request.header("X-Request-Id")).c_str(),
                id_or_dash(request.header("Traceparent")).c_str());
}

// The charges. One connection to SQLite, one caller at a time.
class Ledger {
public:
    enum class Taken { Now, Before, OtherAmount, Failed };

    explicit Ledger(const std::string& folder) {
        if (sqlite3_open((folder + "/billing.db").c_str(), &database_) != SQLITE_OK ||
            !run("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=10000;"
                 "CREATE TABLE IF NOT EXISTS charges(id TEXT PRIMARY KEY, amount_cents INTEGER NOT "
                 "NULL,"
                 " at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)")) {
            std::fprintf(stderr, "billing: %s/billing.db: %s\n", folder.c_str(),
                         sqlite3_errmsg(database_));
            std::exit(1);
        }
    }

    Taken take(const std::string& id, long long amount_cents) {
        std::lock_guard lock(mutex_);
        sqlite3_stmt* insert = prepare(
            "INSERT INTO charges(id, amount_cents) VALUES(?, ?)"
            " ON CONFLICT(id) DO NOTHING");
        if (insert == nullptr) return Taken::Failed;
        sqlite3_bind_text(insert, 1, id.c_str(), -1, SQLITE_TRANSIENT);
        sqlite3_bind_int64(insert, 2, amount_cents);
        const int outcome = sqlite3_step(insert);
        const bool is_new = sqlite3_changes(database_) == 1;
        sqlite3_finalize(insert);
        if (outcome != SQLITE_DONE) return Taken::Failed;
        if (is_new) return Taken::Now;
        return amount_unlocked(id) == amount_cents ? Taken::Before : Taken::OtherAmount;
    }

    // -1: never charged.
    long long amount(const std::string& id) {
        std::lock_guard lock(mutex_);
        return amount_unlocked(id);
    }

    bool works() {
        std::lock_guard lock(mutex_);
        return run("SELECT 1 FROM charges LIMIT 1");
    }

    void close() {
        std::lock_guard lock(mutex_);
        sqlite3_close(database_);
        database_ = nullptr;
    }

private:
    bool run(const char* sql) {
        return sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) == SQLITE_OK;
    }

    sqlite3_stmt* prepare(const char* sql) {
        sqlite3_stmt* statement = nullptr;
        sqlite3_prepare_v2(database_, sql, -1, &statement, nullptr);
        return statement;
    }

    long long amount_unlocked(const std::string& id) {
        sqlite3_stmt* select = prepare("SELECT amount_cents FROM charges WHERE id = ?");
        if (select == nullptr) return -1;
        sqlite3_bind_text(select, 1, id.c_str(), -1, SQLITE_TRANSIENT);
        const long long found =
            sqlite3_step(select) == SQLITE_ROW ? sqlite3_column_int64(select, 0) : -1;
        sqlite3_finalize(select);
        return found;
    }

    std::mutex mutex_;
    sqlite3* database_ = nullptr;
};

class Billing {
public:
    explicit Billing(const std::string& folder)
        : ledger_(folder), arrivals_path_(folder + "/arrivals.log") {
        arrivals_ = open(arrivals_path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
        if (arrivals_ < 0) {
            std::fprintf(stderr, "billing: %s: %s\n", arrivals_path_.c_str(), std::strerror(errno));
            std::exit(1);
        }
    }

    Answer answer(const Request& request) {
        constexpr std::string_view kCharges = "/charges/";
        if (request.path.compare(0, kCharges.size(), kCharges) == 0) {
            const std::string id = request.path.substr(kCharges.size());
            if (!is_id(id)) return {400, R"({"error":"not an id"})"};
            if (request.method == "POST") return charge(id, request);
            const long long amount = ledger_.amount(id);
            if (amount < 0) return {404, R"({"error":"never charged"})"};
            return {200, R"({"id":")" + id + R"(","amount_cents":)" + std::to_string(amount) + "}"};
        }
        if (request.path == "/arrivals") return arrivals(request);
        if (request.path == "/healthz") return {200, R"({"ok":true})"};
        if (request.path == "/readyz") {
            return ledger_.works() ? Answer{200, R"({"ok":true})"} : Answer{503, R"({"ok":false})"};
        }
        if (request.path == "/whoami") {
            return {200, R"({"service":"billing","pid":)" + std::to_string(getpid()) +
                             R"(,"release":")" + environment("THOLE_RELEASE") +
                             R"(","instance":")" + environment("THOLE_INSTANCE") + R"("})"};
        }
        return {404, R"({"error":"nothing here"})"};
    }

    void close() { ledger_.close(); }

private:
    Answer charge(const std::string& id, const Request& request) {
        const std::string line = id + " " + id_or_dash(request.header("X-Request-Id")) + "\n";
        if (write(arrivals_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
            return {503,
                    R"({"error":"cannot write down that it arrived, so nothing was charged"})"};
        }
        const size_t key = request.body.find("\"amount_cents\"");
        const size_t colon = key == std::string::npos ? key : request.body.find(':', key);
        const long long amount = colon == std::string::npos
                                     ? -1
                                     : std::strtoll(request.body.c_str() + colon + 1, nullptr, 10);
        if (amount <= 0) return {400, R"({"error":"wanted {\"amount_cents\": <more than 0>}"})"};

        switch (ledger_.take(id, amount)) {
            case Ledger::Taken::Now: return {201, R"({"id":")" + id + R"(","charged":"now"})"};
            case Ledger::Taken::Before:
                return {200, R"({"id":")" + id + R"(","charged":"before"})"};
            case Ledger::Taken::OtherAmount:
                return {409, R"({"error":"this id was charged with another amount"})"};
            case Ledger::Taken::Failed: break;
        }
        return {503, R"({"error":"the ledger cannot be written, so nothing was charged"})"};
    }

    // With ?id=: how often a POST for it arrived. Without: every line.
    Answer arrivals(const Request& request) {
        std::string lines;
        const int file = open(arrivals_path_.c_str(), O_RDONLY | O_CLOEXEC);
        char part[65536];
        for (ssize_t got; (got = read(file, part, sizeof part)) > 0;)
            lines.append(part, static_cast<size_t>(got));
        ::close(file);
        if (request.query.compare(0, 3, "id=") != 0) return {200, lines, "text/plain"};
        const std::string start = request.query.substr(3) + " ";
        int count = 0;
        for (size_t at = 0; at < lines.size(); at = lines.find('\n', at) + 1) {
            if (lines.compare(at, start.size(), start) == 0) ++count;
        }
        return {200, R"({"arrivals":)" + std::to_string(count) + "}"};
    }

    Ledger ledger_;
    std::string arrivals_path_;
    int arrivals_ = -1;
};

// Waits for bytes. False: idle for too long, or asked to stop while no request had begun.
bool await_bytes(int socket, bool has_begun) {
    pollfd watched[2] = {{socket, POLLIN, 0}, {stop_pipe[0], POLLIN, 0}};
    const int ready = poll(watched, has_begun ? 1 : 2, kIdleMs);
    return ready > 0 && (watched[0].revents != 0);
}

bool parse_head(std::string_view head, Request& request) {
    size_t end = head.find("\r\n");
    const std::string_view line = head.substr(0, end);
    const size_t first = line.find(' '), second = line.rfind(' ');
    if (first == std::string_view::npos || second <= first || line.substr(second + 1) != "HTTP/1.1")
        return false;
    request.method = line.substr(0, first);
    const std::string_view target = line.substr(first + 1, second - first - 1);
    const size_t mark = target.find('?');
    request.path = target.substr(0, mark);
    if (mark != std::string_view::npos) request.query = target.substr(mark + 1);
    while (end + 2 < head.size()) {
        const size_t begin = end + 2;
        end = std::min(head.find("\r\n", begin), head.size());
        const std::string_view field = head.substr(begin, end - begin);
        const size_t colon = field.find(':');
        if (colon == std::string_view::npos) return false;
        std::string_view value = field.substr(colon + 1);
        while (!value.empty() && (value.front() == ' ' || value.front() == '\t'))
            value.remove_prefix(1);
        while (!value.empty() && (value.back() == ' ' || value.back() == '\t'))
            value.remove_suffix(1);
        request.headers[std::string(field.substr(0, colon))] = value;
    }
    return true;
}

enum class Got { Request, Nothing, Nonsense };

// `buffer` holds what was received and not used yet.
Got next_request(int socket, std::string& buffer, Request& request) {
    size_t head_end = std::string::npos, body_size = 0;
    for (;;) {
        if (head_end == std::string::npos &&
            (head_end = buffer.find("\r\n\r\n")) != std::string::npos) {
            if (!parse_head(std::string_view(buffer).substr(0, head_end), request))
                return Got::Nonsense;
            if (!request.header("Transfer-Encoding").empty()) return Got::Nonsense;
            body_size = std::strtoul(request.header("Content-Length").c_str(), nullptr, 10);
            if (body_size > kBodyMax) return Got::Nonsense;
        }
        if (head_end != std::string::npos && buffer.size() >= head_end + 4 + body_size) {
            request.body = buffer.substr(head_end + 4, body_size);
            buffer.erase(0, head_end + 4 + body_size);
            return Got::Request;
        }
        if (head_end == std::string::npos && buffer.size() > kHeadMax) return Got::Nonsense;
        if (!await_bytes(socket, !buffer.empty())) return Got::Nothing;
        char part[8192];
        const ssize_t got = recv(socket, part, sizeof part, 0);
        if (got <= 0) return Got::Nothing;
        buffer.append(part, static_cast<size_t>(got));
    }
}

bool send_all(int socket, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0) return false;
        bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
}

bool is_stopping() {
    pollfd stop{stop_pipe[0], POLLIN, 0};
    return poll(&stop, 1, 0) > 0;
}

bool send_answer(int socket, const Answer& answer, bool is_last) {
    return send_all(
        socket, "HTTP/1.1 " + std::to_string(answer.status) + " \r\nContent-Type: " + answer.type +
                    "\r\nContent-Length: " + std::to_string(answer.body.size()) +
                    (is_last ? "\r\nConnection: close" : "") + "\r\n\r\n" + answer.body);
}

void serve(int socket, Billing& billing) {
    std::string buffer;
    for (bool is_last = false; !is_last;) {
        Request request;
        const Got got = next_request(socket, buffer, request);
        if (got == Got::Nothing) break;
        const auto began = std::chrono::steady_clock::now();
        const Answer answer = got == Got::Request ? billing.answer(request)
                                                  : Answer{400, R"({"error":"not understood"})"};
        is_last = got == Got::Nonsense || is_stopping() ||
                  strcasecmp(request.header("Connection").c_str(), "close") == 0;
        if (!send_answer(socket, answer, is_last)) break;
        if (request.path == "/healthz" || request.path == "/readyz") continue;
        const auto took = std::chrono::steady_clock::now() - began;
        say(answer.status < 500 ? "info" : "error",
            std::to_string(answer.status) + " in " +
                std::to_string(
                    std::chrono::duration_cast<std::chrono::microseconds>(took).count()) +
                " us",
            request);
    }
    close(socket);
    --open_connections;
}

int listen_on(const std::string& port) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(std::atoi(port.c_str())));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener, 512) != 0) {
        std::fprintf(stderr, "billing: 127.0.0.1:%s: %s\n", port.c_str(), std::strerror(errno));
        std::exit(1);
    }
    return listener;
}

}  // namespace

int main() {
    const std::string port = setting("PORT", "PORT=3002 STATE_DIR=/tmp ./billing");
    Billing billing(setting("STATE_DIR", "state: 256Mi for billing in thole.yaml"));
    setvbuf(stdout, nullptr, _IOLBF, 0);
    if (pipe2(stop_pipe, O_CLOEXEC) != 0) return 1;
    const auto stop = [](int) { (void)!write(stop_pipe[1], "x", 1); };
    std::signal(SIGTERM, stop);
    std::signal(SIGINT, stop);

    const int listener = listen_on(port);
    std::printf(R"({"level":"info","message":"listening on 127.0.0.1:%s"})"
                "\n",
                port.c_str());
    while (await_bytes(listener, false) || !is_stopping()) {
        const int socket = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (socket < 0) continue;                                  // Nobody there after all.
        while (open_connections >= kConnectionsMax) usleep(1000);  // The rest waits in the backlog.
        ++open_connections;
        std::thread(serve, socket, std::ref(billing)).detach();
    }
    close(listener);
    std::puts(R"({"level":"info","message":"finishing what was begun"})");
    while (open_connections > 0) usleep(1000);
    billing.close();
    return 0;
}
