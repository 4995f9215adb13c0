// What stands in for one of NVIDIA's libraries in the tests of DynamicLibrary.
extern "C" int mcn_fake_version() { return 13042; }
