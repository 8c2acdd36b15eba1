// Of a module: each copy of the C++ library is its own. C++ throughout: exceptions, RTTI, thread_local, streams, files, atomics, threads.
#include <atomic>
#include <filesystem>
#include <future>
#include <iostream>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace {
struct Base { virtual ~Base() = default; };
struct Derived : Base {};
struct alignas(16) Pair { long first, second; };
struct Unwound { int &count; ~Unwound() { ++count; } };
thread_local std::string own = "first";

void thrower(int depth, int &count)
{
    Unwound here{count};
    if (depth == 0)
        throw std::runtime_error("thrown");
    thrower(depth - 1, count);
}

bool catches()
{
    int count = 0;
    try {
        thrower(4, count);
    } catch (const std::exception &error) {
        return count == 5 && error.what() == std::string("thrown");
    }
    return false;
}

bool of_its_library()
{
    try {
        return std::string("ab").at(7) == 'c';
    } catch (const std::out_of_range &) {
    }
    std::unique_ptr<Base> base = std::make_unique<Derived>();
    return dynamic_cast<Derived *>(base.get()) != nullptr && typeid(*base) == typeid(Derived);
}

bool threads()
{
    std::atomic<Pair> pair;
    std::thread other([&] { own = "second"; pair.store({1, 2}); });
    other.join();
    return own == "first" && pair.load().second == 2 && std::async(std::launch::async, [] { return own; }).get() == "first";
}

bool texts()
{
    std::ostringstream out;
    out << std::hex << 255 << ' ' << 1.5;
    return out.str() == "ff 1.5" && std::regex_match("abc", std::regex("a.*")) && std::filesystem::exists("/");
}
}

extern "C" int check()
{
    std::cout << "" << std::flush;
    return !catches() + 2 * !of_its_library() + 4 * !threads() + 8 * !texts();
}
