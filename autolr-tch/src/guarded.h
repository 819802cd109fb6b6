// How functions called from Rust report what went wrong: null, or an error message that the caller frees with
// autolr_free.

#pragma once

#include <cstring>
#include <exception>

template <typename F>
char *guarded(F action) {
  try {
    action();
    return nullptr;
  } catch (const std::exception &error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}
