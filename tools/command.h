// What every subcommand of mcn is built from: a function that adds it, and an action that returns the exit code.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

namespace mcn {

/// Exit codes of the command.
enum ExitCode : int { ok = 0, check_failed = 1, usage = 2, data = 3, device = 4, non_finite = 5, interrupted = 130 };

/// Runs `action` if the subcommand was chosen; its result becomes the exit code.
void set_action(CLI::App& command, std::function<int()> action);
/// The result of the action that ran.
int result_of_action();

/// DataError unless a file can be written at path: long work fails before it starts.
void expect_writable(const std::string& prefix, const std::string& path);

void add_audit(CLI::App& app);
void add_bench(CLI::App& app);
void add_bench_decode(CLI::App& bench);
void add_devices(CLI::App& app);
void add_embed(CLI::App& app);
void add_frames(CLI::App& app);
void add_grad(CLI::App& app);
void add_gradcheck(CLI::App& app);
void add_inspect(CLI::App& app);
void add_retrieve(CLI::App& app);
void add_synth(CLI::App& app);
void add_train(CLI::App& app);

}  // namespace mcn
