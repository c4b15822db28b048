#pragma once
#define HF_EXPORT extern "C" __attribute__((visibility("default")))
