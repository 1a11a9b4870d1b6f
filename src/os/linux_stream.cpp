#include "os/linux_stream.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>

namespace thole::os {
namespace {

constexpr std::size_t kReadBytesMax = 64 * 1024;

env::Peer peer_of(int fd) {
    ucred credentials{};
    socklen_t size = sizeof(credentials);
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return {};
    return {static_cast<std::uint32_t>(credentials.pid), credentials.uid};
}

class LinuxStream final : public env::Stream {
public:
    LinuxStream(Loop& loop, FileDescriptor fd, StreamStage stage)
        : loop_(loop),
          fd_(std::move(fd)),
          wanted_(stage == StreamStage::Connecting ? EPOLLOUT : EPOLLIN),
          is_connecting_(stage == StreamStage::Connecting) {
        watch_ = loop_.watch(fd_.get(), wanted_, [this](std::uint32_t bits) { on_ready(bits); });
    }
    LinuxStream(Loop& loop, Error error) : loop_(loop), failure_(std::move(error)) {
        timer_ = loop_.after(Duration::zero(), [this] { close(*failure_); });
    }
    ~LinuxStream() override { *alive_ = false; }

    void set_events(env::StreamEvents events) override { events_ = std::move(events); }

    void write(std::string_view bytes) override {
        if (is_closed_ || has_ended_) return;
        unsent_.append(bytes);
        if (!is_connecting_ && fd_.is_open()) flush_later();
    }

    void end() override {
        if (is_closed_ || has_ended_) return;
        has_ended_ = true;
        if (!is_connecting_ && fd_.is_open()) flush_later();
    }

    void pause() override {
        is_paused_ = true;
        update();
    }
    void resume() override {
        is_paused_ = false;
        update();
    }
    std::size_t unsent_bytes() const override { return unsent_.size() - sent_; }
    env::Peer peer() const override { return fd_.is_open() ? peer_of(fd_.get()) : env::Peer{}; }

private:
    // Writes of one turn leave by one call at its end.
    void flush_later() {
        if (flush_waits_) return;
        flush_waits_ = true;
        loop_.soon([this, alive = alive_] {
            if (!*alive || is_closed_) return;
            flush_waits_ = false;
            flush();
        });
    }

    void on_ready(std::uint32_t bits) {
        const std::shared_ptr<bool> alive = alive_;
        if (is_connecting_) {
            finish_connecting();
            return;
        }
        if ((bits & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !is_paused_ && !peer_ended_) {
            receive();
            if (!*alive || is_closed_) return;
        } else if ((bits & (EPOLLHUP | EPOLLERR)) != 0) {
            close(from_errno(ECONNRESET, "connection"));
            return;
        }
        if ((bits & EPOLLOUT) != 0) flush();
    }

    void finish_connecting() {
        int error = 0;
        socklen_t size = sizeof(error);
        ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) {
            close(from_errno(error, "connect"));
            return;
        }
        is_connecting_ = false;
        update();
        if (!unsent_.empty() || has_ended_) flush_later();
        if (events_.connected) events_.connected();
    }

    void receive() {
        char bytes[kReadBytesMax];
        const ssize_t got = ::read(fd_.get(), bytes, sizeof(bytes));
        if (got < 0) {
            if (errno != EAGAIN && errno != EINTR) close(from_errno(errno, "receive"));
            return;
        }
        if (got == 0) {
            peer_ended_ = true;
            update();
            const std::shared_ptr<bool> alive = alive_;
            if (events_.ended) events_.ended();
            if (*alive && !is_closed_ && has_ended_ && unsent_bytes() == 0)
                close(unavailable("the peer has ended"));
            return;
        }
        if (events_.received)
            events_.received(std::string_view(bytes, static_cast<std::size_t>(got)));
    }

    void flush() {
        while (unsent_bytes() > 0) {
            const ssize_t sent = ::send(fd_.get(), unsent_.data() + sent_, unsent_.size() - sent_,
                                        MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent < 0 && errno == EINTR) continue;
            if (sent < 0 && errno == EAGAIN) break;
            if (sent < 0) {
                close(from_errno(errno, "send"));
                return;
            }
            sent_ += static_cast<std::size_t>(sent);
        }
        const bool all = unsent_bytes() == 0;
        if (all || sent_ > kReadBytesMax) {
            unsent_.erase(0, sent_);
            sent_ = 0;
        }
        if (all && has_ended_ && !has_shut_) {
            has_shut_ = true;
            ::shutdown(fd_.get(), SHUT_WR);
            if (peer_ended_) {
                close(unavailable("both sides have ended"));
                return;
            }
        }
        update();
        if (all && events_.drained) events_.drained();
    }

    void update() {
        if (is_closed_ || is_connecting_ || !fd_.is_open()) return;
        std::uint32_t events = 0;
        if (!is_paused_ && !peer_ended_) events |= EPOLLIN;
        if (unsent_bytes() > 0) events |= EPOLLOUT;
        if (events != wanted_) watch_.want(events);
        wanted_ = events;
    }

    void close(Error error) {
        if (is_closed_) return;
        is_closed_ = true;
        watch_.stop();
        fd_.reset(-1);
        // The callback may destroy this.
        const std::function<void(const Error&)> closed = std::move(events_.closed);
        if (closed) closed(error);
    }

    Loop& loop_;
    FileDescriptor fd_;
    Watch watch_;
    env::Timer timer_;
    env::StreamEvents events_;
    std::optional<Error> failure_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    std::string unsent_;
    std::size_t sent_ = 0;            // Of unsent_, from its front.
    std::uint32_t wanted_ = EPOLLIN;  // What the loop watches for now.
    bool is_connecting_ = false;
    bool is_paused_ = false;
    bool is_closed_ = false;
    bool has_ended_ = false;  // We write no more.
    bool has_shut_ = false;
    bool peer_ended_ = false;
    bool flush_waits_ = false;
};

}  // namespace

std::unique_ptr<env::Stream> make_stream(Loop& loop, FileDescriptor fd, StreamStage stage) {
    return std::make_unique<LinuxStream>(loop, std::move(fd), stage);
}

std::unique_ptr<env::Stream> make_failed_stream(Loop& loop, Error error) {
    return std::make_unique<LinuxStream>(loop, std::move(error));
}

}  // namespace thole::os
