#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/integration/engine_fixture.h"

namespace red::testing {

/// A part of the experiment, and what is wrong with it.
struct FailingStep {
  std::string failure;  ///< what the report says
  std::vector<int> inputs;
  std::vector<int> outputs;
  std::function<void(Json& experiment)> spoil;
};

std::vector<FailingStep> failing_validations();
/// The connectors' receives and mounts, and the engine's own checks of what came.
std::vector<FailingStep> failing_receives();
std::vector<FailingStep> failing_commands();
std::vector<FailingStep> failing_sends(const ExperimentServers& servers);

/// Has `run` carry out each of them in `directory`: the failure is the one that is meant, and
/// nothing is left, neither here nor on the servers.
void expect_failures(const ExperimentServers& servers, const std::string& directory,
                     const std::vector<FailingStep>& steps,
                     const std::function<EngineReport(const Json& experiment)>& run);

}  // namespace red::testing
