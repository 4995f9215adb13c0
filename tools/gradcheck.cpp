// `mcn gradcheck`: every operator's rules and whole models, checked numerically; a table, and exit code 1 on a miss.
#include "meta/gradcheck.h"

#include <fmt/format.h>

#include "tools/choice.h"
#include "tools/command.h"
#include "tools/device_options.h"
#include "tools/number.h"
#include "tools/print.h"

namespace mcn {
namespace {

struct GradcheckOptions {
  DeviceOptions device;
  DType dtype = DType::f64;
  std::uint64_t seed = 0;
  bool quick = false;
};

int gradcheck(const GradcheckOptions& o) {
  const DType dtype = o.dtype;
  Backend& backend = open(o.device, dtype);
  const std::int64_t before = backend.kernel_calls();
  std::vector<GradcheckRow> rows = gradcheck_operators(backend, dtype, o.seed);
  if (dtype == DType::f64 && !o.quick) {
    const std::vector<GradcheckRow> models = gradcheck_models(backend, o.seed);
    rows.insert(rows.end(), models.begin(), models.end());
  }
  if (backend.kernel_calls() == before) fail<DeviceError>("gradcheck", "device {} ran no kernel", backend.name());
  print_result("{:<18} {:<20} {:>10} {:>10}\n", "operator", "rule", "error", "tolerance");
  std::size_t missed = 0;
  for (const GradcheckRow& row : rows) {
    print_result("{:<18} {:<20} {:>10.1e} {:>10.0e}{}\n", row.op, row.rule, row.error, row.tolerance,
                 row.ok ? "" : "  MISS");
    missed += row.ok ? 0 : 1;
  }
  print_result("{} of {} checks passed on {}, {}\n", rows.size() - missed, rows.size(), backend.name(), name_of(dtype));
  return missed == 0 ? ok : check_failed;
}

}  // namespace

void add_gradcheck(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "gradcheck", "check the four rules of every operator, and whole models, against finite differences");
  auto o = std::make_shared<GradcheckOptions>();
  add_device_options(*command, o->device);
  add_dtype_option(*command, o->dtype, "f64: against differences; f32: against float64, operators only");
  command->add_option("--seed", o->seed, "seed of the random points and directions")->check(not_negative_number());
  command->add_flag("--quick", o->quick, "check operators only, no whole models");
  set_action(*command, [o] { return gradcheck(*o); });
}

}  // namespace mcn
