// What the kernel says of processes and users, asked of processes that are really there.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "os/fd.h"
#include "os/linux_processes.h"

namespace thole::os {
namespace {

// A socket that listens on a port of the kernel's choice.
struct Listener {
    FileDescriptor socket;
    std::uint16_t port = 0;
};

Listener listen_on_4(std::uint32_t ip) {
    Listener made{FileDescriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(ip);
    socklen_t size = sizeof(address);
    sockaddr* const any = reinterpret_cast<sockaddr*>(&address);
    if (::bind(made.socket.get(), any, size) == 0 && ::listen(made.socket.get(), 1) == 0 &&
        ::getsockname(made.socket.get(), any, &size) == 0)
        made.port = ntohs(address.sin_port);
    return made;
}

// Port 0: this machine has no IPv6.
Listener listen_on_6(const char* ip) {
    Listener made{FileDescriptor(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0))};
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    ::inet_pton(AF_INET6, ip, &address.sin6_addr);
    socklen_t size = sizeof(address);
    sockaddr* const any = reinterpret_cast<sockaddr*>(&address);
    if (::bind(made.socket.get(), any, size) == 0 && ::listen(made.socket.get(), 1) == 0 &&
        ::getsockname(made.socket.get(), any, &size) == 0)
        made.port = ntohs(address.sin6_port);
    return made;
}

// A child in a session of its own, whose own child has the socket; both wait to be killed.
struct Family {
    pid_t leader = -1;
    pid_t member = -1;
    std::uint16_t port = 0;

    explicit Family(std::uint32_t ip) {
        int ends[2];
        EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
        leader = ::fork();
        if (leader == 0) {
            ::setsid();
            const pid_t below = ::fork();
            if (below == 0) {
                const Listener listener = listen_on_4(ip);
                const std::uint32_t said[] = {static_cast<std::uint32_t>(::getpid()),
                                              listener.port};
                if (::write(ends[1], said, sizeof(said)) != sizeof(said)) ::_exit(1);
                while (true) ::pause();
            }
            while (true) ::pause();
        }
        std::uint32_t said[2] = {};
        EXPECT_EQ(::read(ends[0], said, sizeof(said)), static_cast<ssize_t>(sizeof(said)));
        member = static_cast<pid_t>(said[0]);
        port = static_cast<std::uint16_t>(said[1]);
        ::close(ends[0]);
        ::close(ends[1]);
    }
    void end_leader() {
        if (leader <= 0) return;
        ::kill(leader, SIGKILL);
        ::waitpid(leader, nullptr, 0);
        leader = -1;
    }
    ~Family() {
        if (member > 0) ::kill(member, SIGKILL);
        end_leader();
    }
};

bool holds(const std::vector<env::Address>& found, env::Address wanted) {
    return std::find(found.begin(), found.end(), wanted) != found.end();
}

std::uint32_t own_pid() { return static_cast<std::uint32_t>(::getpid()); }

TEST(Processes, WeAreWhoTheKernelSays) {
    LinuxProcesses processes;
    EXPECT_EQ(processes.self().uid, ::geteuid());
    EXPECT_EQ(processes.self().gid, ::getegid());
}

TEST(Processes, AUserIsFoundByName) {
    LinuxProcesses processes;
    const Result<env::Owner> root = processes.user("root");
    ASSERT_TRUE(root.ok());
    EXPECT_EQ(root->uid, 0U);
    EXPECT_EQ(root->gid, 0U);
}

TEST(Processes, AUserThatIsNotThereIsToldWithWhatToTry) {
    LinuxProcesses processes;
    const Result<env::Owner> none = processes.user("thole-no-such");
    ASSERT_FALSE(none.ok());
    EXPECT_EQ(none.error().code, Code::NotFound);
    EXPECT_EQ(none.error().text(),
              "user 'thole-no-such': this machine has none of that name\n"
              "  try: useradd --system thole-no-such");
    // Nothing that would do something else where somebody pastes it.
    EXPECT_EQ(processes.user("x; reboot").error().hint, "");
    EXPECT_EQ(processes.user("").error().code, Code::NotFound);
    EXPECT_EQ(processes.user(std::string("root\0x", 6)).error().code, Code::NotFound);
}

TEST(Processes, WhereAProcessListensIsToldForIPv4) {
    LinuxProcesses processes;
    const Listener local = listen_on_4(0x7f000001);
    const Listener any = listen_on_4(0);
    ASSERT_NE(local.port, 0);
    const std::vector<env::Address> found = processes.listening(own_pid());
    EXPECT_TRUE(holds(found, {0x7f000001, local.port}));
    EXPECT_TRUE(holds(found, {0, any.port}));
}

TEST(Processes, WhereAProcessListensIsToldForIPv6) {
    LinuxProcesses processes;
    const Listener local = listen_on_6("::1");
    if (local.port == 0) GTEST_SKIP() << "this machine has no IPv6";
    const Listener any = listen_on_6("::");
    const Listener mapped = listen_on_6("::ffff:127.0.0.1");
    const std::vector<env::Address> found = processes.listening(own_pid());
    EXPECT_TRUE(holds(found, {0x7f000001, local.port}));
    EXPECT_TRUE(holds(found, {0, any.port}));
    EXPECT_TRUE(holds(found, {0x7f000001, mapped.port}));
}

TEST(Processes, AConnectionIsNotListening) {
    LinuxProcesses processes;
    Listener listener = listen_on_4(0x7f000001);
    const FileDescriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(0x7f000001);
    address.sin_port = htons(listener.port);
    ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const FileDescriptor server(::accept4(listener.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    ASSERT_TRUE(server.is_open());
    listener.socket.reset(-1);
    EXPECT_FALSE(holds(processes.listening(own_pid()), {0x7f000001, listener.port}));
}

// `npm start` and gunicorn: the process that was started is not the one that listens.
TEST(Processes, AnotherOfTheSameSessionCounts) {
    LinuxProcesses processes;
    Family family(0x7f000001);
    const std::vector<env::Address> expected = {{0x7f000001, family.port}};
    const std::uint32_t leader = static_cast<std::uint32_t>(family.leader);
    EXPECT_EQ(processes.listening(leader), expected);
    EXPECT_EQ(processes.listening(static_cast<std::uint32_t>(family.member)), expected);
    family.end_leader();
    EXPECT_EQ(processes.listening(leader), expected);
}

TEST(Processes, OneOfAnotherSessionDoesNotCount) {
    LinuxProcesses processes;
    const Family family(0x7f000001);
    EXPECT_FALSE(holds(processes.listening(own_pid()), {0x7f000001, family.port}));
    EXPECT_TRUE(processes.listening(0).empty());
    EXPECT_TRUE(processes.listening(0xffffffff).empty());
}

TEST(Processes, AProgramIsFoundWhereServicesFindIt) {
    LinuxProcesses processes;
    EXPECT_EQ(::access(processes.find_program("sh").c_str(), X_OK), 0);
    for (const char* name : {"", ".", "..", "thole-no-such", "/bin/sh", "../bin/sh"})
        EXPECT_EQ(processes.find_program(name), "") << name;
    EXPECT_EQ(processes.find_program(std::string("sh\0x", 4)), "");
}

TEST(Processes, TheBootHasOneNameAndKeepsIt) {
    LinuxProcesses processes;
    const std::string id = processes.boot_id();
    EXPECT_EQ(id.size(), 36U);
    EXPECT_EQ(id.find('\n'), std::string::npos);
    EXPECT_EQ(processes.boot_id(), id);
}

}  // namespace
}  // namespace thole::os
