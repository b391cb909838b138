// How long this module leaves the GIL to nobody. In test builds on Linux only, where the linker puts the measuring
// around the calls that take and release it (cpp/CMakeLists.txt).
#pragma once

namespace lamina {

// Seconds of CPU time: the longest that the calling thread has spent between two releases of the GIL by this module
// since it last asked. What other modules release in between counts as held, the wait to have it back does not.
// Nor does what is slept with it held.
double longest_gil_hold();

}  // namespace lamina
