// fork, exec and wait.
#include "tests/tools/run_command.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

namespace mcn::test {
namespace {

constexpr const char* command_path = MCN_BINARY_DIR "/mcn";

// In the child, where nothing but the exit code can tell of an error.
void open_stream(int descriptor, Stream stream, const std::string& file) {
  if (stream == Stream::closed) {
    ::close(descriptor);
    return;
  }
  int opened = -1;
  if (stream == Stream::broken_pipe) {
    int ends[2] = {-1, -1};
    if (::pipe(ends) != 0) ::_exit(126);
    ::close(ends[0]);
    opened = ends[1];
  } else {
    opened = ::open(stream == Stream::full ? "/dev/full" : file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  }
  if (opened < 0 || ::dup2(opened, descriptor) < 0) ::_exit(126);
  ::close(opened);
}

int exit_code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

}  // namespace

std::string CommandResult::last_line() const {
  const std::size_t end = out.find_last_not_of('\n') + 1;
  const std::size_t before = end == 0 ? std::string::npos : out.rfind('\n', end - 1);
  return out.substr(before + 1, end - before - 1);
}

Command::Command(std::vector<std::string> arguments, const Environment& environment,
                 const Circumstances& circumstances) {
  const std::string out = folder_.file("out");
  const std::string err = folder_.file("err");
  arguments.insert(arguments.begin(), command_path);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  process_ = ::fork();
  if (process_ < 0) throw std::runtime_error("fork failed");
  if (process_ == 0) {
    open_stream(STDOUT_FILENO, circumstances.out, out);
    open_stream(STDERR_FILENO, circumstances.err, err);
    if (circumstances.in_closed)
      ::close(STDIN_FILENO);
    else
      ::dup2(::open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
    for (const int signal : circumstances.ignored_signals) ::signal(signal, SIG_IGN);
    if (circumstances.address_space > 0) {
      const rlimit limit{circumstances.address_space, circumstances.address_space};
      ::setrlimit(RLIMIT_AS, &limit);
    }
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
    ::execv(command_path, argv.data());
    ::_exit(127);
  }
}

Command::~Command() {
  if (process_ < 0) return;
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
}

bool Command::wait_for_error_text(const std::string& text) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (std::chrono::steady_clock::now() < deadline) {
    if (read_file(folder_.file("err")).find(text) != std::string::npos) return true;
    siginfo_t ended{};
    if (::waitid(P_PID, static_cast<id_t>(process_), &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid != 0)
      return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

void Command::send(int signal) const { ::kill(process_, signal); }

void Command::take_memory_away() const {
  std::ifstream statm("/proc/" + std::to_string(process_) + "/statm");
  std::size_t pages = 0;
  if (!(statm >> pages)) throw std::runtime_error("the command has ended");
  const rlimit limit{pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)), RLIM_INFINITY};
  if (::prlimit(process_, RLIMIT_AS, &limit, nullptr) != 0) throw std::runtime_error("prlimit failed");
}

CommandResult Command::wait() {
  int status = 0;
  ::waitpid(std::exchange(process_, -1), &status, 0);
  return {exit_code_of(status), read_file(folder_.file("out")), read_file(folder_.file("err"))};
}

CommandResult mcn_command(std::vector<std::string> arguments, const Environment& environment,
                          const Circumstances& circumstances) {
  return Command(std::move(arguments), environment, circumstances).wait();
}

bool one_line_error(const CommandResult& result, const std::string& prefix, const std::vector<std::string>& texts) {
  return result.out.empty() && result.err.starts_with("mcn: [" + prefix + "] ") &&
         result.err.find('\n') == result.err.size() - 1 && std::all_of(texts.begin(), texts.end(), [&](const auto& t) {
           return result.err.find(t) != std::string::npos;
         });
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

void write_file(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

}  // namespace mcn::test
