#include "os/linux_network.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "os/linux_link.h"
#include "os/linux_stream.h"

namespace thole::os {
namespace {

constexpr int kBacklog = 1024;
constexpr int kAcceptsATurnMax = 64;

sockaddr_in to_socket_address(env::Address address) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(address.ip);
    to.sin_port = htons(address.port);
    return to;
}

Result<sockaddr_un> to_unix_address(const std::string& path) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    if (path.size() >= sizeof(to.sun_path))
        return invalid("the path of a socket is too long: " + path);
    std::memcpy(to.sun_path, path.c_str(), path.size() + 1);
    return to;
}

class LinuxListening final : public env::Listening {
public:
    LinuxListening(Loop& loop, FileDescriptor fd, env::Accept accept)
        : loop_(loop), fd_(std::move(fd)), accept_(std::move(accept)) {
        watch_ = loop_.watch(fd_.get(), EPOLLIN, [this](std::uint32_t) { take(); });
    }
    ~LinuxListening() override { *alive_ = false; }

    env::Address address() const override {
        sockaddr_in at{};
        socklen_t size = sizeof(at);
        if (::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&at), &size) != 0) return {0, 0};
        return {ntohl(at.sin_addr.s_addr), ntohs(at.sin_port)};
    }

private:
    void take() {
        const std::shared_ptr<bool> alive = alive_;
        for (int i = 0; i < kAcceptsATurnMax && *alive; ++i) {
            FileDescriptor fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (!fd.is_open()) {
                if (errno == EMFILE || errno == ENFILE) rest();
                return;
            }
            const int one = 1;
            ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
            accept_(make_stream(loop_, std::move(fd), StreamStage::Open));
        }
    }

    // Out of descriptors: look again in a while instead of spinning on a socket that stays ready.
    void rest() {
        watch_.want(0);
        timer_ = loop_.after(std::chrono::milliseconds(100), [this] { watch_.want(EPOLLIN); });
    }

    Loop& loop_;
    FileDescriptor fd_;
    env::Accept accept_;
    Watch watch_;
    env::Timer timer_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Connects without waiting; 0 or the errno, EINPROGRESS where it goes on.
int begin_connecting(int fd, const sockaddr* to, socklen_t size) {
    return ::connect(fd, to, size) == 0 ? 0 : errno;
}

class LinuxPortClaim final : public env::PortClaim {
public:
    explicit LinuxPortClaim(FileDescriptor fd) : fd_(std::move(fd)) {}

private:
    FileDescriptor fd_;
};

}  // namespace

Result<std::unique_ptr<env::PortClaim>> LinuxNetwork::claim_port(std::uint16_t port) {
    FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd.is_open()) return from_errno(errno, "socket");
    const std::string name = "thole port " + std::to_string(port);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    // Abstract: it begins with a zero, and its length counts.
    std::memcpy(at.sun_path + 1, name.data(), name.size());
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), size) != 0) {
        if (errno == EADDRINUSE) return conflict(name + " is claimed by another system");
        return from_errno(errno, "claim " + name);
    }
    return std::unique_ptr<env::PortClaim>(std::make_unique<LinuxPortClaim>(std::move(fd)));
}

Result<std::unique_ptr<env::Listening>> LinuxNetwork::listen(env::Address address,
                                                             env::Accept accept) {
    FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd.is_open()) return from_errno(errno, "socket");
    const int one = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    const sockaddr_in at = to_socket_address(address);
    const std::string name = "listen on port " + std::to_string(address.port);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0)
        return from_errno(errno, name);
    if (::listen(fd.get(), kBacklog) != 0) return from_errno(errno, name);
    return std::unique_ptr<env::Listening>(
        std::make_unique<LinuxListening>(loop_, std::move(fd), std::move(accept)));
}

Result<std::unique_ptr<env::Listening>> LinuxNetwork::listen_inherited(int number,
                                                                       env::Accept accept) {
    int listens = 0;
    socklen_t size = sizeof(listens);
    if (::getsockopt(number, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) {
        return invalid("descriptor " + std::to_string(number) + " is no listening socket");
    }
    ::fcntl(number, F_SETFD, FD_CLOEXEC);
    ::fcntl(number, F_SETFL, ::fcntl(number, F_GETFL) | O_NONBLOCK);
    FileDescriptor fd(number);
    return std::unique_ptr<env::Listening>(
        std::make_unique<LinuxListening>(loop_, std::move(fd), std::move(accept)));
}

Result<std::unique_ptr<env::Listening>> LinuxNetwork::listen_unix(const std::string& path,
                                                                  env::Accept accept) {
    const sockaddr_un at = TRY(to_unix_address(path));
    FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd.is_open()) return from_errno(errno, "socket");
    struct stat info {};
    if (::lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) ::unlink(path.c_str());
    // The mode is the umask's at bind; set before anybody can connect, as nobody can before
    // listen().
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0) {
        return from_errno(errno, "bind " + path);
    }
    if (::chmod(path.c_str(), 0600) != 0) return from_errno(errno, "chmod " + path);
    if (::listen(fd.get(), kBacklog) != 0) return from_errno(errno, "listen " + path);
    return std::unique_ptr<env::Listening>(
        std::make_unique<LinuxListening>(loop_, std::move(fd), std::move(accept)));
}

std::unique_ptr<env::Stream> LinuxNetwork::connect(env::Address address) {
    FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd.is_open()) return make_failed_stream(loop_, from_errno(errno, "socket"));
    const int one = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    const sockaddr_in to = to_socket_address(address);
    const int error =
        begin_connecting(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to));
    if (error != 0 && error != EINPROGRESS)
        return make_failed_stream(loop_, from_errno(error, "connect"));
    return make_stream(loop_, std::move(fd), StreamStage::Connecting);
}

std::unique_ptr<env::Stream> LinuxNetwork::connect_unix(const std::string& path) {
    const Result<sockaddr_un> to = to_unix_address(path);
    if (!to.ok()) return make_failed_stream(loop_, to.error());
    FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd.is_open()) return make_failed_stream(loop_, from_errno(errno, "socket"));
    const int error =
        begin_connecting(fd.get(), reinterpret_cast<const sockaddr*>(&*to), sizeof(*to));
    if (error != 0) return make_failed_stream(loop_, from_errno(error, "connect to " + path));
    return make_stream(loop_, std::move(fd), StreamStage::Connecting);
}

std::unique_ptr<env::Link> LinuxNetwork::connect_link(const std::string& path) {
    const Result<sockaddr_un> to = to_unix_address(path);
    if (!to.ok()) return make_failed_link(loop_, to.error());
    FileDescriptor fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd.is_open()) return make_failed_link(loop_, from_errno(errno, "socket"));
    const int error =
        begin_connecting(fd.get(), reinterpret_cast<const sockaddr*>(&*to), sizeof(*to));
    if (error != 0) return make_failed_link(loop_, from_errno(error, "connect to " + path));
    return make_link(loop_, std::move(fd));
}

}  // namespace thole::os
