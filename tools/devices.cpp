// `mcn devices`: what this build can compute on.
#include <fmt/ranges.h>

#include "engine/device.h"
#include "tools/command.h"
#include "tools/print.h"

namespace mcn {

void add_devices(CLI::App& app) {
  CLI::App* command = app.add_subcommand("devices", "the devices that this build can compute on");
  set_action(*command, [] {
    for (const std::string& name : device_names()) {
      const std::string fault = device_fault(name);
      std::string detail = fault.empty() ? open_device(name).detail() : "";
      if (name == "cpu" && fault.empty())
        detail += fmt::format(" (MCN_CPU_ISA takes {})", fmt::join(cpu_levels(), ", "));
      print_result("{:<6} {}{}{}\n", name, device_description(name), detail.empty() ? "" : "; here: " + detail,
                   fault.empty() ? "" : "; not here: " + fault);
    }
    return ok;
  });
}

}  // namespace mcn
