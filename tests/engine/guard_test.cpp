#include "engine/guard.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <random>
#include <utility>

#include <gtest/gtest.h>

namespace gacer {
namespace {

/// Times of a plan: `ms` plus noise.
struct FakeDevice {
  std::mt19937 random{7};
  std::normal_distribution<double> normal{0, 1};
  std::vector<double> times(double ms, double noise, int rounds) {
    std::vector<double> result;
    for (int i = 0; i < rounds; ++i) result.push_back(ms + noise * normal(random));
    return result;
  }
};

TEST(Guard, AClearWinIsTaken) {
  FakeDevice device;
  const GuardResult result = judge(device.times(10, 0.1, 21), device.times(9, 0.1, 21));
  EXPECT_TRUE(result.regulated_won) << result.to_string();
  EXPECT_NEAR(result.gain_ms, 1, 0.15);
}

TEST(Guard, ALossAndATieKeepTheSimplePlan) {
  FakeDevice device;
  for (const double regulated : {10.0, 10.5, 12.0}) {
    const GuardResult result = judge(device.times(10, 0.2, 15), device.times(regulated, 0.2, 15));
    EXPECT_FALSE(result.regulated_won) << result.to_string();
  }
}

TEST(Guard, EqualPlansAlmostNeverLookLikeAWin) {
  FakeDevice device;
  int wins = 0;
  for (int trial = 0; trial < 300; ++trial)
    wins += judge(device.times(10, 0.5, 9), device.times(10, 0.5, 9)).regulated_won ? 1 : 0;
  EXPECT_LE(wins, 6);
}

TEST(Guard, ADriftThatBothFeelDoesNotHideAWin) {
  std::vector<double> simple;
  std::vector<double> regulated;
  for (int i = 0; i < 15; ++i) {
    simple.push_back(10 + i);
    regulated.push_back(9.5 + i);
  }
  EXPECT_TRUE(judge(simple, regulated).regulated_won);
}

TEST(Guard, BurstsOfForeignLoadHideNoClearWin) {
  FakeDevice device;
  std::vector<double> simple = device.times(10, 0.5, 31);
  std::vector<double> regulated = device.times(9, 0.5, 31);
  for (int i = 0; i < 31; i += 16) {
    simple[static_cast<std::size_t>(i)] *= 2;
    regulated[static_cast<std::size_t>(i + 2) % 31] *= 2;
  }
  const GuardResult result = judge(simple, regulated);
  EXPECT_TRUE(result.regulated_won) << result.to_string();
}

TEST(Guard, FewRoundsNeverSuffice) {
  EXPECT_FALSE(judge(std::vector<double>(10, 2.0), std::vector<double>(10, 1.0)).regulated_won);
  EXPECT_TRUE(judge(std::vector<double>(11, 2.0), std::vector<double>(11, 1.0)).regulated_won);
}

TEST(Guard, OneHugeRoundDecidesNothing) {
  std::vector<double> simple(15, 10.0);
  std::vector<double> regulated(15, 10.0);
  simple[3] = 1000;
  EXPECT_FALSE(judge(simple, regulated).regulated_won);
}

TEST(Guard, GainsBelowHalfAPercentDoNotCount) {
  EXPECT_FALSE(judge(std::vector<double>(12, 10.0), std::vector<double>(12, 9.96)).regulated_won);
  EXPECT_TRUE(judge(std::vector<double>(12, 10.0), std::vector<double>(12, 9.9)).regulated_won);
}

/// Settles a fake device's plans of 1 and 1 - gain milliseconds with much noise, from few rounds.
GuardResult settle_noisy(double gain, std::uint32_t seed, std::chrono::milliseconds time) {
  FakeDevice device;
  device.random.seed(seed);
  const auto run = [&](double ms) { return [&device, ms] { return device.times(ms, 0.1, 1)[0]; }; };
  return settle(run(1), run(1 - gain), device.times(1, 0.1, 7), device.times(1 - gain, 0.1, 7),
                {time});
}

TEST(Guard, MoreRoundsSettleAGainThatNoiseHides) {
  int wins = 0;
  int wins_at_once = 0;
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    wins += settle_noisy(0.05, seed, std::chrono::milliseconds(50)).regulated_won ? 1 : 0;
    wins_at_once += settle_noisy(0.05, seed, std::chrono::milliseconds(0)).regulated_won ? 1 : 0;
  }
  EXPECT_GE(wins, 10);
  EXPECT_LE(wins_at_once, 4);
}

TEST(Guard, SettlingEndsAtOnceWhenThereIsNoGain) {
  const auto never = []() -> double {
    ADD_FAILURE() << "ran a settled plan";
    return 1;
  };
  const GuardResult loss = settle(never, never, std::vector<double>(7, 1.0),
                                  std::vector<double>(7, 1.1), {std::chrono::seconds(10)});
  EXPECT_FALSE(loss.regulated_won);
  EXPECT_EQ(loss.turns, 7);
  const GuardResult win = settle(never, never, std::vector<double>(12, 1.0),
                                 std::vector<double>(12, 0.9), {std::chrono::seconds(10)});
  EXPECT_TRUE(win.regulated_won);
}

TEST(Guard, SettlingGoesOnAfterFewTurnsWithoutAGain) {
  int calls = 0;
  const GuardResult result =
      settle([&] { return ++calls, 1.0; }, [] { return 0.9; }, std::vector<double>(6, 1.0),
             std::vector<double>(6, 1.0), {std::chrono::milliseconds(0)});
  EXPECT_GE(calls, 9);
  EXPECT_GE(result.turns, 15);
}

TEST(Guard, SettlingTakesEnoughRoundsHoweverLongTheyAre) {
  const GuardResult result =
      settle([] { return 2.0; }, [] { return 1.0; }, std::vector<double>(3, 2.0),
             std::vector<double>(3, 1.0), {std::chrono::milliseconds(0)});
  EXPECT_TRUE(result.regulated_won) << result.to_string();
}

TEST(Guard, SettlingLosesWhatIsSlower) {
  int wins = 0;
  for (std::uint32_t seed = 0; seed < 40; ++seed)
    wins += settle_noisy(-0.02, seed, std::chrono::milliseconds(10)).regulated_won ? 1 : 0;
  EXPECT_LE(wins, 2);
}

TEST(Interleave, EachContenderFollowsEachOtherEquallyOften) {
  for (std::size_t contenders = 3; contenders <= 9; ++contenders) {
    const int turns = static_cast<int>(contenders) * (contenders % 2 == 0 ? 1 : 2);
    std::map<std::pair<std::size_t, std::size_t>, int> pairs;
    for (int turn = 0; turn < turns; ++turn) {
      std::vector<std::size_t> order = turn_order(contenders, turn);
      EXPECT_NE(turn_order(contenders, turn + 1).front(), order.back());
      for (std::size_t i = 1; i < order.size(); ++i) ++pairs[{order[i - 1], order[i]}];
      std::sort(order.begin(), order.end());
      for (std::size_t i = 0; i < contenders; ++i) EXPECT_EQ(order.at(i), i);
    }
    EXPECT_EQ(pairs.size(), contenders * (contenders - 1));
    for (const auto& [pair, count] : pairs) {
      EXPECT_NE(pair.first, pair.second);
      EXPECT_EQ(count, contenders % 2 == 0 ? 1 : 2)
          << pair.second << " behind " << pair.first << " of " << contenders;
    }
  }
}

TEST(Interleave, TwoContendersFollowEachOther) {
  EXPECT_EQ(turn_order(1, 5), std::vector<std::size_t>{0});
  for (int turn = 0; turn < 4; ++turn)
    EXPECT_EQ(turn_order(2, turn), (std::vector<std::size_t>{0, 1}));
}

TEST(Interleave, EveryContenderRunsInEveryRound) {
  std::vector<int> order;
  std::vector<std::function<double()>> contenders;
  for (int i = 0; i < 3; ++i)
    contenders.emplace_back([&order, i] {
      order.push_back(i);
      return static_cast<double>(i);
    });
  InterleaveOptions options;
  options.min_rounds = 2;
  options.time = std::chrono::milliseconds(0);
  const auto times = interleave(contenders, options);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 0, 1, 2, 1, 2, 0}));
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(times[i].rounds, std::vector<double>(2, static_cast<double>(i)));
}

/// A device whose power limit makes plans slow down while they run on end and recover otherwise.
struct HotDevice {
  double heat = 0;
  double run(double ms, double watts) {
    heat += 0.2 * (watts - heat);
    return ms * (1 + std::max(0.0, heat - 1));
  }
};

TEST(Interleave, TurnsLetEachContenderMeetItsOwnClock) {
  HotDevice device;
  const std::vector<std::function<double()>> contenders = {[&] { return device.run(10, 1); },
                                                           [&] { return device.run(9.6, 1.1); }};
  InterleaveOptions options;
  options.time = std::chrono::milliseconds(0);
  options.min_rounds = 50;
  const std::vector<Times> single = interleave(contenders, options);
  EXPECT_LT(median(single[1].turns), median(single[0].turns));
  options.turn = std::chrono::milliseconds(200);
  options.min_rounds = 200;
  const std::vector<Times> turns = interleave(contenders, options);
  EXPECT_GT(median(turns[1].turns), median(turns[0].turns));
  EXPECT_EQ(turns[0].turns.size(), turns[1].turns.size());
  EXPECT_EQ(turns[0].rounds.size(), 20 * turns[0].turns.size());
}

TEST(Interleave, RoundsThatTakeNoTimeEndTheirTurn) {
  const std::vector<std::function<double()>> contenders = {[] { return 0.0; }};
  InterleaveOptions options;
  options.min_rounds = 1;
  options.time = std::chrono::milliseconds(0);
  options.turn = std::chrono::milliseconds(1);
  EXPECT_EQ(interleave(contenders, options)[0].turns.size(), 1U);
}

/// Share of duels that a plan with some gain wins on a noisy device, and their pairs of rounds.
struct Duels {
  double won = 0;
  double pairs = 0;
};
Duels fight(double gain, double noise, PairNoise* known = nullptr, int count = 400) {
  FakeDevice device;
  const auto run = [&](double ms) {
    return [&device, ms, noise] { return device.times(ms, noise, 1)[0]; };
  };
  Duels duels;
  for (int i = 0; i < count; ++i) {
    const DuelResult result = duel(run(1), run(1 - gain), known ? known->deviation() : 0);
    if (known) known->add(result);
    duels.won += result.changed_won ? 1.0 / count : 0;
    duels.pairs += static_cast<double>(result.pairs) / count;
  }
  return duels;
}

TEST(Duel, EqualPlansAlmostNeverWin) {
  const Duels duels = fight(0, 0.01);
  EXPECT_LE(duels.won, 0.015);
  EXPECT_LE(duels.pairs, 6);
}

TEST(Duel, SlowerPlansLoseAfterFewRounds) {
  const Duels duels = fight(-0.02, 0.01);
  EXPECT_EQ(duels.won, 0);
  EXPECT_LE(duels.pairs, 4);
}

TEST(Duel, OnePairIsEnoughWhereNoiseIsKnownToBeSmall) {
  EXPECT_GE(fight(-0.03, 0.002).pairs, 1.9);
  PairNoise noise;
  fight(0, 0.002, &noise);
  EXPECT_LE(fight(-0.03, 0.002, &noise).pairs, 1.2);
  // What is known costs no gain.
  EXPECT_GE(fight(0.01, 0.002, &noise).won, 0.95);
}

TEST(Duel, NoiseIsThatOfPairs) {
  PairNoise noise;
  EXPECT_EQ(noise.deviation(), 0);
  noise.add({false, 1, std::nullopt});
  fight(0, 0.01, &noise, 7);
  EXPECT_EQ(noise.deviation(), 0) << "of few duels nothing is known";
  fight(0, 0.01, &noise);
  EXPECT_NEAR(noise.deviation(), 0.01 * std::sqrt(2.0), 0.004);
}

TEST(Duel, LongRoundsEndEarly) {
  const DuelResult result = duel([] { return 1000.0; }, [] { return 900.0; });
  EXPECT_LE(result.pairs, 3);
  EXPECT_EQ(duel([] { return 1.0; }, [] { return 1.2; }).pairs, 1);
}

TEST(Duel, RealGainsMostlyWin) {
  EXPECT_GE(fight(0.03, 0.01).won, 0.9);
  EXPECT_GE(fight(0.01, 0.01).won, 0.3);
  EXPECT_GT(fight(0.005, 0).won, 0.999);
}

TEST(Statistics, MedianAndPercentile) {
  EXPECT_DOUBLE_EQ(median({3, 1, 2}), 2);
  EXPECT_DOUBLE_EQ(median({4, 1, 2, 3}), 2.5);
  std::vector<double> values;
  for (int i = 1; i <= 100; ++i) values.push_back(i);
  EXPECT_DOUBLE_EQ(percentile(values, 0.95), 95);
  EXPECT_DOUBLE_EQ(percentile(values, 1), 100);
  EXPECT_DOUBLE_EQ(percentile({7}, 0.95), 7);
}

}  // namespace
}  // namespace gacer
