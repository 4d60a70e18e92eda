// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The workloads under Google Benchmark, which chooses the number of
// iterations, repeats, interleaves at random and writes JSON.  Threads and
// time are the harness's own: libbenchmark 1.7 divides the wall time of its
// threads by their number.
//
// The benchmarks to compare form a group: one workload with one set of
// parameters on every backend.  A group's repetitions are interleaved, and it is
// finished before the next: drift over minutes affects all of a group alike.
//
// Options beside Google Benchmark's own:
//   --traces=DIR     recorded traces, DIR/*.trace  (bench/traces)
//   --streams=N,...  where that is a parameter     (1000000)
//   --threads=T,...  numbers of threads            (1,2)
//   --resident=N,... idle streams that replay keeps       (0,16384)
//   --create-ns=T,... that its contexts take to be built  (0,1000)
//   --together       everything is one group

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <vector>

extern "C" {
#include "harness.h"
#include "options.h"
#include "../traces/trace.h"
}

namespace {

using Clock = std::chrono::steady_clock;

// The retiring workloads include a drain of fixed length in their span.
constexpr double kDrainedLonger = 4;
// A million contexts of four owners made, taken away and checked take 5 s each time.
constexpr int kUnloads = 3;

constexpr std::size_t kMoment = 10;

// Google Benchmark begins with one iteration.  If that is held up for as long as
// a whole run should take, it is the only one.
constexpr uint64_t kLeastIterations = 2000;

struct Options {
	std::string out;
	std::string traces = "bench/traces";
	std::vector<uint64_t> streams = {1000000};
	std::vector<unsigned int> threads = {1, 2};
	std::vector<uint64_t> resident = {0, 16384};
	std::vector<uint64_t> create_ns = {0, 1000};
	double min_time = 0.05;
	bool list = false;
	bool together = false;
};

struct Trace {
	std::string name;
	struct trace trace;
};

struct Group {
	std::string name;
	std::vector<bench_case> cases;
};

std::string case_name(const bench_case &c)
{
	char name[256];

	bench_case_name(&c, name, sizeof(name));
	return name;
}

void run_case(benchmark::State &state, const bench_case &c)
{
	bench_limit limit = {};
	bench_result result = {};

	limit.iterations = state.max_iterations;
	limit.onward = true;
	if (c.workload->param != PARAM_TRACE && !c.workload->unloads)
		limit.iterations = std::max(limit.iterations, kLeastIterations);
	while (state.KeepRunningBatch(state.max_iterations)) {
		bench_run(&c, &limit, nullptr, &result);
		state.SetIterationTime(result.seconds * static_cast<double>(state.max_iterations) /
				       static_cast<double>(limit.iterations));
	}
	state.counters["ops"] = static_cast<double>(result.ops) / result.seconds;
	if (c.threads > 1)
		state.counters["handover_ns"] = bench_handover_ns();
	if (c.workload->unloads) {
		state.counters["meanwhile"] =
			static_cast<double>(result.meanwhile) / result.seconds;
		state.counters["longest_ms"] = static_cast<double>(result.longest_ns) / 1e6;
	}
}

// Passes everything on to the JSON reporter under the stable names, without
// the suffixes that Google Benchmark adds, and prints a line a group.
class Reporter : public benchmark::BenchmarkReporter {
public:
	explicit Reporter(std::ostream *json)
	{
		if (json) {
			json_ = std::make_unique<benchmark::JSONReporter>();
			json_->SetOutputStream(json);
		}
	}

	bool ReportContext(const Context &context) override
	{
		if (json_ && !reported_context_)
			json_->ReportContext(context);
		reported_context_ = true;
		return true;
	}

	void ReportRuns(const std::vector<Run> &runs) override
	{
		std::vector<Run> renamed = runs;

		for (Run &run : renamed) {
			const std::string &name = run.run_name.function_name;

			run.run_name.min_time.clear();
			run.run_name.time_type.clear();
			run.run_name.repetitions.clear();
			run.threads = std::atoi(name.c_str() + name.rfind(':') + 1);
			if (run.run_type == Run::RT_Iteration)
				ops_[name].push_back(run.counters["ops"]);
		}
		if (json_)
			json_->ReportRuns(renamed);
	}

	// Google Benchmark calls it once a group.
	void Finalize() override {}

	void finish()
	{
		if (json_ && reported_context_)
			json_->Finalize();
	}

	std::string summary(const Group &group)
	{
		std::string line;

		for (const bench_case &c : group.cases) {
			std::vector<double> &ops = ops_[case_name(c)];
			char text[64];

			if (ops.empty())
				continue;
			std::sort(ops.begin(), ops.end());
			std::snprintf(text, sizeof(text), " %.4g", ops[ops.size() / 2] / 1e6);
			line += group.name.empty() ? "\n  " : "  ";
			line += group.name.empty() ? case_name(c) : bench_backend_name(c.backend);
			line += !group.name.empty() && c.trace && c.resident ? "+idle" : "";
			line += text;
		}
		return line;
	}

private:
	std::unique_ptr<benchmark::JSONReporter> json_;
	std::map<std::string, std::vector<double>> ops_;
	bool reported_context_ = false;
};

bool take(const std::string &arg, const char *option, std::string *value)
{
	const std::string prefix = std::string(option) + "=";

	if (arg.compare(0, prefix.size(), prefix) != 0)
		return false;
	*value = arg.substr(prefix.size());
	return true;
}

[[noreturn]] void usage(const std::string &arg)
{
	std::cerr << "sctx-gbench: bad option " << arg << "\n";
	std::exit(1);
}

template <typename T>
std::vector<T> parse_list(const std::string &arg, const std::string &value, unsigned long most,
			  bool zero = false)
{
	std::vector<T> numbers;
	std::size_t at = 0, comma;

	do {
		std::uint64_t n;

		comma = value.find(',', at);
		const std::string one = value.substr(at, comma - at);

		if (zero && one == "0")
			n = 0;
		else if (!option_number(one.c_str(), most, &n))
			usage(arg);
		numbers.push_back(static_cast<T>(n));
		at = comma + 1;
	} while (comma != std::string::npos);
	return numbers;
}

// Removes our own options from argv, and Google Benchmark's options on files and
// lists: it would open the file anew for every group.
Options parse_options(int *argc, char **argv)
{
	Options o;
	std::string value;
	int kept = 1;

	for (int i = 1; i < *argc; i++) {
		const std::string arg = argv[i];

		if (take(arg, "--benchmark_out", &o.out) || take(arg, "--traces", &o.traces))
			continue;
		if (arg == "--benchmark_list_tests" || arg == "--benchmark_list_tests=true") {
			o.list = true;
		} else if (take(arg, "--streams", &value)) {
			o.streams = parse_list<uint64_t>(arg, value, 1ul << 30);
		} else if (take(arg, "--threads", &value)) {
			o.threads = parse_list<unsigned int>(arg, value, 1024);
		} else if (take(arg, "--resident", &value)) {
			o.resident = parse_list<uint64_t>(arg, value, 1ul << 30, true);
		} else if (take(arg, "--create-ns", &value)) {
			o.create_ns = parse_list<uint64_t>(arg, value, 1000000000, true);
		} else if (arg == "--together") {
			o.together = true;
		} else {
			if (take(arg, "--benchmark_min_time", &value) &&
			    !option_positive(value.c_str(), 1e6, &o.min_time))
				usage(arg);
			argv[kept++] = argv[i];
		}
	}
	*argc = kept;
	return o;
}

std::vector<Trace> load_traces(const std::string &dir)
{
	std::vector<std::filesystem::path> paths;
	std::vector<Trace> traces;
	std::error_code error;

	for (const auto &entry : std::filesystem::directory_iterator(dir, error))
		if (entry.path().extension() == ".trace")
			paths.push_back(entry.path());
	std::sort(paths.begin(), paths.end());
	traces.reserve(paths.size());
	for (const auto &path : paths) {
		char err[256];

		traces.push_back({path.stem(), {}});
		if (trace_load(path.c_str(), &traces.back().trace, err, sizeof(err))) {
			std::cerr << "sctx-gbench: " << path.string() << ": " << err << "\n";
			std::exit(1);
		}
	}
	if (traces.empty())
		std::cerr << "sctx-gbench: no *.trace in " << dir << ", no replay\n";
	return traces;
}

// Every set of parameters that a workload is run with.
std::vector<bench_case> parameters(const workload_info &w, const Options &o,
				   const std::vector<Trace> &traces)
{
	std::vector<bench_case> cases;
	bench_case c = {};

	c.workload = &w;
	c.resident = w.resident;
	switch (w.param) {
	case PARAM_CONTEXTS:
		for (unsigned int contexts : {1, 4, 8, 16, 17, 32, 33, 64}) {
			c.contexts = contexts;
			cases.push_back(c);
		}
		break;
	case PARAM_TRACE:
		for (const Trace &trace : traces) {
			c.trace = &trace.trace;
			c.trace_name = trace.name.c_str();
			for (uint64_t create_ns : o.create_ns) {
				for (uint64_t resident : o.resident) {
					c.create_ns = create_ns;
					c.resident = resident;
					cases.push_back(c);
				}
			}
		}
		break;
	case PARAM_STREAMS:
		for (uint64_t streams : o.streams) {
			c.streams = streams;
			cases.push_back(c);
		}
		break;
	case PARAM_NONE:
	case PARAM_NS:
		cases.push_back(c);
		break;
	}
	return cases;
}

// One case, on the backends that support it and match @filter.
Group make_group(bench_case c, const std::regex &filter)
{
	Group group;
	size_t count;
	const backend *const *backends = bench_backends(&count);

	c.backend = nullptr;
	group.name = case_name(c);
	for (size_t i = 0; i < count; i++) {
		c.backend = backends[i];
		if (bench_supports(c.backend, c.workload) &&
		    (!c.resident || bench_keeps_idle(c.backend)) &&
		    std::regex_search(case_name(c), filter))
			group.cases.push_back(c);
	}
	return group;
}

// The group of the same trace with another number of idle streams: they are compared.
Group *same_but_resident(std::vector<Group> &groups, const bench_case &c)
{
	for (Group &group : groups) {
		const bench_case &first = group.cases[0];

		if (c.trace && first.trace == c.trace && first.create_ns == c.create_ns &&
		    first.threads == c.threads)
			return &group;
	}
	return nullptr;
}

std::vector<Group> make_groups(const Options &o, const std::vector<Trace> &traces,
			       const std::string &filter_text, const std::regex &filter)
{
	std::vector<Group> groups;
	size_t count;
	const workload_info *workloads = bench_workloads(&count);

	for (size_t i = 0; i < count; i++) {
		const workload_info &w = workloads[i];

		if (w.only_paced || w.plain)
			continue;
		if (w.large && filter_text.find(w.name) == std::string::npos)
			continue;
		for (bench_case c : parameters(w, o, traces)) {
			for (unsigned int threads : o.threads) {
				c.threads = threads;
				// An owner leaves under the most threads only.
				if (w.unloads && threads != o.threads.back())
					continue;
				Group group = make_group(c, filter);
				if (group.cases.empty())
					continue;
				Group *with = same_but_resident(groups, c);
				if (o.together)
					group.name.clear();
				if (o.together && !groups.empty())
					with = &groups[0];
				if (with)
					with->cases.insert(with->cases.end(), group.cases.begin(),
							   group.cases.end());
				else
					groups.push_back(std::move(group));
			}
		}
	}
	return groups;
}

void run_group(const Group &group, const Options &o, Reporter *reporter)
{
	benchmark::ClearRegisteredBenchmarks();
	for (const bench_case &c : group.cases) {
		const double longer = c.workload->retires ? kDrainedLonger : 1;

		benchmark::internal::Benchmark *registered =
			benchmark::RegisterBenchmark(
				case_name(c).c_str(),
				[c](benchmark::State &state) { run_case(state, c); })
				->UseManualTime()
				->MinTime(o.min_time * longer);
		if (c.workload->unloads)
			registered->Repetitions(kUnloads);
	}
	benchmark::RunSpecifiedBenchmarks(reporter, "all");
}

// How busy the machine is changes over minutes: the known cost is measured again
// before each kMoment groups.
bool tells_busy(const Group &group)
{
	return !group.name.empty() && group.cases[0].workload->no_backend;
}

std::vector<Group> with_moments(const std::vector<Group> &groups)
{
	std::vector<Group> busy, found;

	for (const Group &group : groups)
		if (tells_busy(group))
			busy.push_back(group);
	for (std::size_t i = 0; i < groups.size(); i++) {
		if (i % kMoment == 0)
			found.insert(found.end(), busy.begin(), busy.end());
		if (!tells_busy(groups[i]))
			found.push_back(groups[i]);
	}
	found.insert(found.end(), busy.begin(), busy.end());
	return found;
}

void run_groups(const std::vector<Group> &groups, const Options &o, Reporter *reporter)
{
	const Clock::time_point begin = Clock::now();
	size_t done = 0;

	std::printf("median million operations a second; left: time still to go\n");
	for (const Group &group : groups) {
		run_group(group, o, reporter);
		done++;
		const std::chrono::duration<double> spent = Clock::now() - begin;
		const double each = spent.count() / static_cast<double>(done);
		const int left = static_cast<int>(each * static_cast<double>(groups.size() - done));
		std::printf("[%2zu/%zu, left %d:%02d] %-36s%s\n", done, groups.size(), left / 60,
			    left % 60, group.name.c_str(), reporter->summary(group).c_str());
		std::fflush(stdout);
	}
}

void add_context()
{
	size_t count;
	const backend *const *backends = bench_backends(&count);

	benchmark::AddCustomContext("compiler", BENCH_COMPILER);
	benchmark::AddCustomContext("flags", BENCH_FLAGS);
	benchmark::AddCustomContext("rcu", BENCH_RCU);
	benchmark::AddCustomContext("liburcu", BENCH_URCU_VERSION);
	benchmark::AddCustomContext("benchmark", BENCH_BENCHMARK_VERSION);
	benchmark::AddCustomContext("allocator", bench_allocator());
	for (size_t i = 0; i < count; i++)
		benchmark::AddCustomContext(
			std::string("lacks_") + bench_backend_name(backends[i]),
			bench_backend_lacks(backends[i]));
}

std::regex parse_filter(const std::string &filter)
{
	try {
		return std::regex(filter);
	} catch (const std::regex_error &e) {
		std::cerr << "sctx-gbench: bad filter: " << e.what() << "\n";
		std::exit(1);
	}
}

} // namespace

int main(int argc, char **argv)
{
	bench_init();
	const Options o = parse_options(&argc, argv);
	benchmark::Initialize(&argc, argv);
	if (benchmark::ReportUnrecognizedArguments(argc, argv))
		return 1;
	const std::vector<Trace> traces = load_traces(o.traces);
	std::string filter = benchmark::GetBenchmarkFilter();

	if (filter.empty() || filter == "all")
		filter = ".";
	const std::vector<Group> groups = make_groups(o, traces, filter, parse_filter(filter));

	if (o.list) {
		for (const Group &group : groups)
			for (const bench_case &c : group.cases)
				std::cout << case_name(c) << "\n";
		return 0;
	}
	if (groups.empty()) {
		std::cerr << "sctx-gbench: the filter matches no benchmark\n";
		return 1;
	}
	std::ofstream out;
	if (!o.out.empty()) {
		out.open(o.out);
		if (!out) {
			std::cerr << "sctx-gbench: cannot write " << o.out << "\n";
			return 1;
		}
	}
	add_context();
	Reporter reporter(o.out.empty() ? nullptr : &out);
	run_groups(with_moments(groups), o, &reporter);
	bench_finish();
	reporter.finish();
	out.close();
	benchmark::Shutdown();
	return out.fail() && !o.out.empty() ? 1 : 0;
}
