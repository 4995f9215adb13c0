// `mcn audit`: what is wrong with the files of a data set.
#include "data/audit.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "engine/atomic_file.h"
#include "tools/command.h"
#include "tools/dataset_options.h"
#include "tools/file_options.h"
#include "tools/interrupt.h"
#include "tools/number.h"
#include "tools/print.h"
#include "tools/progress.h"

namespace mcn {
namespace {

struct Options {
  AuditConfig audit;
  std::string subset, json;
};

const char* name_of_subset(Subset subset) { return subset == Subset::train ? "train" : "test"; }

// A file name may hold anything but NUL; a finding is one line.
std::string one_line(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  return text;
}

std::string to_json(const Options& o, const AuditReport& report) {
  nlohmann::ordered_json json{
      {"data", o.audit.dataset.root}, {"format", name_of(report.format)}, {"split", o.audit.dataset.split},
      {"subset", o.subset},           {"decoded", o.audit.decode},        {"clip_frames", o.audit.frames},
      {"clean", report.clean()},      {"listed", report.listed},          {"checked", report.checked},
      {"bytes", report.bytes},        {"frames", report.frames}};
  for (const AuditFault fault : all_audit_faults) json[name_of(fault)] = report.count(fault);
  json["unlisted_files"] = report.unlisted;
  json["findings"] = nlohmann::ordered_json::array();
  for (const AuditFinding& f : report.findings)
    json["findings"].push_back(
        {{"fault", name_of(f.fault)}, {"subset", name_of_subset(f.subset)}, {"video", f.video}, {"detail", f.detail}});
  // A name need not be UTF-8.
  return json.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

// Who names one list may have no other.
std::string named_subset(const DatasetConfig& dataset) {
  if (dataset.train_files.empty() == dataset.test_files.empty()) return "both";
  return dataset.test_files.empty() ? "train" : "test";
}

int run_audit(const Options& o) {
  if (!o.json.empty()) expect_writable("audit", o.json);
  AuditConfig config = o.audit;
  if (o.subset != "both") config.subsets = {o.subset == "train" ? Subset::train : Subset::test};
  AuditReport report;
  {
    std::optional<Progress> progress;
    // Until the lists are read there is nothing that could say so, and the signal simply ends the process.
    std::optional<InterruptGuard> interrupt;
    report = audit(config, [&](std::int64_t done, std::int64_t total) {
      if (!interrupt) interrupt.emplace();
      interrupt->leave_if_requested();
      if (!progress) progress.emplace("audit", total);
      progress->update(done, "");
    });
    if (interrupt) interrupt->leave_if_requested();
    if (progress) progress->finish();
  }
  if (!o.json.empty()) {
    AtomicFile file("audit", o.json);
    file.write(to_json(o, report));
    file.commit();
  }
  for (const AuditFinding& f : report.findings)
    print_result("{:<12}{:<6} {}: {}\n", name_of(f.fault), name_of_subset(f.subset), one_line(f.video),
                 one_line(f.detail));
  std::string counts;
  for (const AuditFault fault : all_audit_faults)
    if (fault != AuditFault::wrong_index || !o.audit.index_folder.empty())
      counts += fmt::format(", {} {}", report.count(fault), name_of(fault));
  print_result("{}, {}: {} videos listed, {} {}{}; {} files that no list names\n", o.audit.dataset.root,
               name_of(report.format), report.listed, report.checked, config.decode ? "decoded" : "opened", counts,
               report.unlisted);
  return report.clean() ? ok : data;
}

}  // namespace

void add_audit(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "audit",
      "look at every file of a data set, and list those that are missing, corrupt, stuck (take longer than\n"
      "--decode-timeout), short (of fewer frames than a clip), duplicate (the same bytes as another, or listed twice) "
      "or\n"
      "mislabelled (listed under another class than its folder's). Exit codes: 0 nothing is wrong, 3 something is, or "
      "a\n"
      "list cannot be read");
  auto o = std::make_shared<Options>();
  add_dataset_options(*command, o->audit.dataset, true);
  command
      ->add_option("--subset", o->subset,
                   "train, test or both; by default the one that --train-files or --test-files alone names, else both")
      ->check(CLI::IsMember({"train", "test", "both"}))
      ->default_str("");
  command->add_option("--frames", o->audit.frames, "frames of a clip")->check(positive_number());
  command->add_flag("--decode", o->audit.decode, "decode every video to its end, not its first clip alone");
  command
      ->add_option("--index-cache", o->audit.index_folder,
                   "compare the frame indices that this folder keeps with the files, each of which is then read to its "
                   "end; an index that\nsays otherwise is a finding of the kind `index`")
      ->type_name(folder_type);
  add_decode_timeout(*command, o->audit.timeout_seconds, "looking into a file");
  command
      ->add_option("--threads", o->audit.threads,
                   "number of threads that open and decode; the result does not depend on it")
      ->check(CLI::Range(1, 256));
  command->add_option("--json", o->json, "the report as a JSON object; written whole or not at all")
      ->type_name(file_type);
  set_action(*command, [o] {
    if (o->subset.empty()) o->subset = named_subset(o->audit.dataset);
    return run_audit(*o);
  });
}

}  // namespace mcn
