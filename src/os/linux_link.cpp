#include "os/linux_link.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <deque>

namespace thole::os {
namespace {

constexpr std::size_t kUnsentBytesMax = 64 * 1024 * 1024;
constexpr int kFramesATurnMax = 64;

class LinuxLink final : public env::Link {
public:
    LinuxLink(Loop& loop, FileDescriptor fd) : loop_(loop), fd_(std::move(fd)) {
        watch_ = loop_.watch(fd_.get(), EPOLLIN, [this](std::uint32_t bits) { on_ready(bits); });
    }
    LinuxLink(Loop& loop, Error error) : loop_(loop) {
        timer_ = loop_.after(Duration::zero(), [this, error = std::move(error)] { close(error); });
    }
    ~LinuxLink() override { *alive_ = false; }

    void set_events(env::LinkEvents events) override { events_ = std::move(events); }

    void send(std::string frame) override {
        if (is_closed_ || !fd_.is_open()) return;
        unsent_bytes_ += frame.size();
        unsent_.push_back(std::move(frame));
        if (unsent_bytes_ > kUnsentBytesMax) {
            timer_ = loop_.after(Duration::zero(),
                                 [this] { close(overload("the peer does not read")); });
            return;
        }
        flush();
    }

    env::Peer peer() const override {
        ucred credentials{};
        socklen_t size = sizeof(credentials);
        if (::getsockopt(fd_.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return {};
        return {static_cast<std::uint32_t>(credentials.pid), credentials.uid};
    }

private:
    void on_ready(std::uint32_t bits) {
        const std::shared_ptr<bool> alive = alive_;
        if ((bits & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
            for (int i = 0; i < kFramesATurnMax; ++i) {
                if (!receive_one() || !*alive || is_closed_) break;
            }
            if (!*alive || is_closed_) return;
        }
        if ((bits & EPOLLOUT) != 0) flush();
    }

    bool receive_one() {
        char bytes[env::kDatagramBytesMax + 1];
        const ssize_t got = ::recv(fd_.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
        if (got <= 0) {
            close(got == 0 ? unavailable("the peer closed the link")
                           : from_errno(errno, "receive"));
            return false;
        }
        if (events_.received)
            events_.received(std::string_view(bytes, static_cast<std::size_t>(got)));
        return true;
    }

    void flush() {
        while (!unsent_.empty()) {
            const std::string& frame = unsent_.front();
            const ssize_t sent =
                ::send(fd_.get(), frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent < 0 && errno == EINTR) continue;
            if (sent < 0 && errno == EAGAIN) break;
            if (sent < 0) {
                // Told from the loop, never from inside send(); what the peer still said is read
                // first.
                timer_ = loop_.after(Duration::zero(),
                                     [this, error = from_errno(errno, "send")] { close(error); });
                break;
            }
            unsent_bytes_ -= frame.size();
            unsent_.pop_front();
        }
        watch_.want(unsent_.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
    }

    void close(Error error) {
        if (is_closed_) return;
        is_closed_ = true;
        watch_.stop();
        fd_.reset(-1);
        const std::function<void(const Error&)> closed = std::move(events_.closed);
        if (closed) closed(error);
    }

    Loop& loop_;
    FileDescriptor fd_;
    Watch watch_;
    env::Timer timer_;
    env::LinkEvents events_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    std::deque<std::string> unsent_;
    std::size_t unsent_bytes_ = 0;
    bool is_closed_ = false;
};

}  // namespace

std::unique_ptr<env::Link> make_link(Loop& loop, FileDescriptor fd) {
    return std::make_unique<LinuxLink>(loop, std::move(fd));
}

std::unique_ptr<env::Link> make_failed_link(Loop& loop, Error error) {
    return std::make_unique<LinuxLink>(loop, std::move(error));
}

}  // namespace thole::os
