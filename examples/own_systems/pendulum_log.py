"""Write a log of Gymnasium's Pendulum as a CSV file: noisy swing-up controllers of graded care, some of which brake.

python pendulum_log.py pendulum.csv --episodes 100
"""

import argparse
import csv
import math

import gymnasium
import numpy as np

STEP_SECONDS = 0.05
COLUMNS = ("episode", "time", "cos", "sin", "speed", "torque", "reward")


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--episodes", type=int, default=100)
    options = parser.parse_args()
    env = gymnasium.make("Pendulum-v1")
    random = np.random.default_rng(0)
    with open(options.out, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for episode in range(options.episodes):
            observation, _ = env.reset(seed=episode)
            gain = random.uniform(0.3, 4.0)  # of different vigor
            own_limit = random.uniform(4.0, 12.0)  # before which speed they brake; 8 rad/s is reached without
            done, step = False, 0
            while not done:
                torque = float(np.clip(controlled(observation, gain, own_limit) + random.normal(0, 0.7), -2, 2))
                entered, reward, terminated, truncated, _ = env.step(np.array([torque], np.float32))
                seen = [f"{number:.6g}" for number in observation]
                table.writerow([episode, f"{step * STEP_SECONDS:.2f}", *seen, f"{torque:.6g}", f"{reward:.6g}"])
                observation, done, step = entered, terminated or truncated, step + 1


def controlled(observation: np.ndarray, gain: float, own_limit: float) -> float:
    """Torque of a controller that swings up by energy, brakes before a speed of its own, and balances near the top."""
    cosine, sine, speed = (float(number) for number in observation)
    angle = math.atan2(sine, cosine)
    if cosine > 0.9 and abs(speed) < 3:
        return -10 * angle - 2 * speed
    falls_to = math.sqrt(speed**2 + 30 * (cosine + 1)) if sine * speed > 0 else 0.0  # the speed at the bottom
    if max(abs(speed), falls_to) > own_limit:
        return -math.copysign(2.0, speed)
    energy = speed**2 / 6 + 5 * (cosine - 1)  # 0 where it stands upright; its length and mass are 1, gravity is 10
    return -gain * energy * (1.0 if speed >= 0 else -1.0)


if __name__ == "__main__":
    main()
