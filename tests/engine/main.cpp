// Stands in for an execution engine: red_engine_driver EXPERIMENT.json prints a report (engine.h).
// The exit code is 0 if the experiment succeeded and nothing is left. Statically linked, so that it
// runs in any container; as the first process there, or of a PID namespace, it reaps none but its
// own children, as the first processes of containers often do.
#include <exception>
#include <fstream>
#include <iostream>

#include "tests/engine/engine.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "red_engine_driver EXPERIMENT.json\n";
    return 2;
  }
  try {
    std::ifstream file(argv[1]);
    const red::testing::Json report = red::testing::run_experiment(
        red::testing::parse_experiment(red::testing::Json::parse(file)));
    std::cout << report.dump(2) << "\n";
    return report.at("state") == "succeeded" && report.at("left").empty() ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << "red_engine_driver: " << error.what() << "\n";
    return 2;
  }
}
