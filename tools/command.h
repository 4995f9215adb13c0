// What every subcommand of mcn is built from: a function that adds it, and an action that returns the exit code.
#pragma once

#include <CLI/CLI.hpp>
#include <exception>
#include <functional>
#include <string>

#include "kernels/error.h"

namespace mcn {

/// Exit codes of the command. A signal that stops it makes the code 128 + its number (tools/interrupt.h).
enum ExitCode : int { ok = 0, check_failed = 1, usage = 2, data = 3, device = 4, non_finite = 5 };

/// Types of options whose value is a path: the help shows them, and shells complete them.
inline constexpr const char* file_type = "FILE";
inline constexpr const char* folder_type = "FOLDER";

/// Runs `action` if the subcommand was chosen; its result becomes the exit code.
void set_action(CLI::App& command, std::function<int()> action);
/// The result of the action that ran.
int result_of_action();

/// What to do about memory that does not suffice: to be added to a message.
inline constexpr const char* less_memory =
    "; a smaller --batch, --ring, --frames or --size, or --inner-tape recompute, needs less";
/// An error of a device in words: with the ranges in which it was noticed, and what to do about too little memory.
std::string device_message(const DeviceError& error);

/// Does the error tell that the device has failed, or that the system has no memory, threads or descriptors left? Exit
/// code 4.
bool lacks_resources(const std::exception& error);

/// DataError unless a file can be written at path: long work fails before it starts.
void expect_writable(const std::string& prefix, const std::string& path);

void add_audit(CLI::App& app);
void add_bench(CLI::App& app);
void add_bench_decode(CLI::App& bench);
/// After all others: it knows those that there are then.
void add_completion(CLI::App& app);
void add_devices(CLI::App& app);
void add_embed(CLI::App& app);
void add_evaluate(CLI::App& app);
void add_export(CLI::App& app);
void add_finetune(CLI::App& app);
void add_frames(CLI::App& app);
void add_grad(CLI::App& app);
void add_gradcheck(CLI::App& app);
void add_inspect(CLI::App& app);
void add_report(CLI::App& app);
void add_synth(CLI::App& app);
void add_train(CLI::App& app);

}  // namespace mcn
