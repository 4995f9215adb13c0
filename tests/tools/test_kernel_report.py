# tools/kernel_report on kernels made up here: what it reads from the tools' text, what it computes, and that each fault
# it is there for makes it fail. cuobjdump and nvdisasm are stand-ins that print the text.
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import stat
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("kernel_report", os.path.join(ROOT, "tools", "kernel_report"))
report = importlib.util.module_from_spec(importlib.util.spec_from_loader("kernel_report", loader))
loader.exec_module(report)

ANONYMOUS = "_GLOBAL__N__4a58bdd5_14_elementwise_cu_bb477b18"
ADD = f"_ZN3mcn4cuda{len(ANONYMOUS)}{ANONYMOUS}10add_kernelIfEEvlPKT_S4_PS2_"
FPROP = "_ZN3mcn4cuda12fprop_kernelINS0_7MmaTileINS0_4Tf32EEELi4EEEvNS0_6GatherEi"

RESOURCES = """
Fatbin elf code:
================
arch = sm_90
code version = [1,8]

Resource usage:
 Common:
  GLOBAL:0
 Function {add}:
  REG:{registers} STACK:{stack} SHARED:1024 LOCAL:0 CONSTANT[0]:616 TEXTURE:0 SURFACE:0 SAMPLER:0
 Function {fprop}:
  REG:168 STACK:0 SHARED:1024 LOCAL:0 CONSTANT[0]:616 TEXTURE:0 SURFACE:0 SAMPLER:0
"""
SASS = """	.target	sm_90
	.section	.text.{add},"ax",@progbits
.text.{add}:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/                   LDG.E R2, desc[UR4][R2.64] ;
        /*0020*/              @!P0 LDG.E R4, desc[UR4][R4.64] ;
        /*0030*/                   {extra} ;
        /*0040*/               @P1 EXIT ;
.L_x_1:
        /*0050*/                   STG.E desc[UR4][R6.64], R9 ;
.text.{fprop}:
        /*0000*/                   LDGSTS.E.BYPASS.128 [R1], desc[UR6][R2.64] ;
        /*0010*/                   LDSM.16.M88.4 R8, [R8] ;
        /*0020*/                   {product} ;
        /*0030*/                   EXIT ;
"""


def launch(kernel, threads, shared=0, grid=1000):
    return {"kernel": kernel, "grid": [grid, 1, 1], "block": [threads, 1, 1], "shared_bytes": shared}


def calls():
    return [{"call": "add", "case": "", "number": "fp32", "main": "", "flops": 0, "bytes": 3350000,
             "launches": [launch("add_kernel<float>", 256)]},
            {"call": "conv3d_fprop", "case": "layer1", "number": "tf32", "main": "fprop_kernel", "flops": 494.7e9,
             "bytes": 1000,
             "launches": [launch("fprop_kernel<mcn::simt_device::MmaTile<mcn::simt_device::Tf32>, 4>", 128, 60000)]}]


class KernelReport(unittest.TestCase):
    def run_report(self, registers=32, stack=0, extra="FADD R9, R2, R4", product="HMMA.1688.F32.TF32 R4, R8, R12, R4",
                   logged=None, arguments=()):
        """Exit status, standard output, standard error and the JSON."""
        with tempfile.TemporaryDirectory() as folder:
            def write(name, text, mode=0o644):
                path = os.path.join(folder, name)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
                os.chmod(path, mode)
                return path

            executable = stat.S_IRWXU
            resources = write("resources", RESOURCES.format(add=ADD, fprop=FPROP, registers=registers, stack=stack))
            sass = write("sass", SASS.format(add=ADD, fprop=FPROP, extra=extra, product=product))
            write("cuobjdump", f'#!/bin/sh\nif [ "$1" = -xelf ]; then touch a.sm_90.cubin; else cat {resources}; fi\n',
                  executable)
            write("nvdisasm", f"#!/bin/sh\ncat {sass}\n", executable)
            binary = write("library.a", "")
            launches = write("launches.json", json.dumps(calls() if logged is None else logged))
            out, errors = io.StringIO(), io.StringIO()
            path = os.environ["PATH"]
            os.environ["PATH"] = folder + os.pathsep + path
            try:
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
                    json_file = os.path.join(folder, "out.json")
                    status = report.main([binary, "--launches", launches, "--json", json_file, *arguments])
                with open(json_file, encoding="utf-8") as file:
                    return status, out.getvalue(), errors.getvalue(), json.load(file)
            finally:
                os.environ["PATH"] = path

    def test_figures_of_sound_kernels(self):
        status, out, errors, data = self.run_report()
        self.assertEqual((status, errors, data["faults"]), (0, "", []))
        add, fprop = data["rows"]
        self.assertEqual(add["kernel"], "add_kernel<float>")
        self.assertEqual((add["registers"], add["ldg"], add["mma"], add["local"], add["instructions"]), (32, 2, 0, 0, 6))
        self.assertEqual((add["blocks_per_sm"], add["occupancy"], add["static_shared"]), (8, 1.0, 0))
        self.assertAlmostEqual(add["predicted_h100_us"], 1.0)
        self.assertEqual(fprop["kernel"], "fprop_kernel<MmaTile<Tf32>,4>")
        self.assertEqual((fprop["mma"], fprop["ldgsts"], fprop["ldsm"]), (1, 1, 1))
        self.assertEqual((fprop["blocks_per_sm"], fprop["dynamic_shared"]), (3, 60000))
        self.assertAlmostEqual(fprop["predicted_h100_us"], 1000.0)
        self.assertEqual(fprop["predicted_limit"], "flops")
        self.assertIn("predicted", out)

    def test_a_spill_fails(self):
        for extra in ("STL.64 [R1+0x8], R10", "@!P0 LDL R10, [R1]"):
            status, _, errors, _ = self.run_report(extra=extra)
            self.assertEqual(status, 1)
            self.assertIn("add_kernel<float> on sm_90: 1 instructions on local memory", errors)
        self.assertIn("8 bytes stored", self.run_report(extra="STL.64 [R1+0x8], R10")[2])

    def test_a_stack_fails(self):
        status, _, errors, _ = self.run_report(stack=16)
        self.assertEqual(status, 1)
        self.assertIn("add_kernel<float> on sm_90: a stack of 16 bytes", errors)

    def test_a_tensor_core_kernel_without_its_instruction_fails(self):
        status, _, errors, _ = self.run_report(product="FFMA R4, R8, R12, R4")
        self.assertEqual(status, 1)
        self.assertIn("fprop_kernel<MmaTile<Tf32>,4> on sm_90: no tensor-core instruction", errors)

    def test_a_kernel_that_is_never_launched_fails(self):
        status, _, errors, _ = self.run_report(logged=calls()[:1])
        self.assertEqual(status, 1)
        self.assertIn("launch_table never launches it", errors)

    def test_a_launch_of_a_kernel_that_is_not_compiled_fails(self):
        more = calls()
        more[0]["launches"].append(launch("other_kernel<double>", 32))
        status, _, errors, _ = self.run_report(logged=more)
        self.assertEqual(status, 1)
        self.assertIn("other_kernel<double>: is launched, but is not in the binary", errors)

    def test_a_block_that_does_not_fit_fails(self):
        more = calls()
        more[0]["launches"][0]["block"] = [1024, 1, 1]
        status, _, errors, _ = self.run_report(registers=72, logged=more)
        self.assertEqual(status, 1)
        self.assertIn("does not fit", errors)
        more = calls()
        more[1]["launches"][0]["shared_bytes"] = 240 << 10
        self.assertEqual(self.run_report(logged=more)[0], 1)

    def test_occupancy_is_that_of_nvidias_calculator(self):
        self.assertEqual(report.blocks_per_multiprocessor("sm_80", 256, 32, 0), 8)
        self.assertEqual(report.blocks_per_multiprocessor("sm_80", 128, 168, 0), 3)
        self.assertEqual(report.blocks_per_multiprocessor("sm_80", 128, 255, 0), 2)
        self.assertEqual(report.blocks_per_multiprocessor("sm_90", 32, 16, 0), 32)
        self.assertEqual(report.blocks_per_multiprocessor("sm_80", 128, 64, 48 << 10), 3)
        self.assertEqual(report.blocks_per_multiprocessor("sm_90", 128, 64, 48 << 10), 4)

    def test_names_of_both_compilers_are_one(self):
        for name in ("void mcn::cuda::(anonymous namespace)::k_kernel<mcn::cuda::(anonymous namespace)::R<float>, (bool)1>"
                     "(long, (anonymous namespace)::R<float>*)", "k_kernel<mcn::simt_device::{anonymous}::R<float>, true>",
                     "k_kernel<R<float>,true>"):
            self.assertEqual(report.short_name(name), "k_kernel<R<float>,true>")

    def test_the_table_fits_its_width(self):
        for width in (80, 100, 160):
            _, out, _, _ = self.run_report(arguments=["--width", str(width)])
            lines = out.split("\n\nspill:")[0].splitlines()
            self.assertLessEqual(max(map(len, lines)), width)

    def test_mistakes_of_the_caller_are_named(self):
        with self.assertRaisesRegex(report.Usage, "no such library.*is missing"):
            report.main(["no such library"])


if __name__ == "__main__":
    unittest.main()
