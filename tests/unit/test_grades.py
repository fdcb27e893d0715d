r"""Answers of the real world that an exact comparison must tell apart, and those that it must not: tables by kind.

Each pair is a reference as a dataset has it, and an answer.
"""

from __future__ import annotations

from typing import Any

import pytest

from prepo_rlhf.rewards.equivalence import Unparsable, equivalent
from prepo_rlhf.rewards.extraction import extract_answer, gold_answer

RIGHT: dict[str, list[tuple[Any, str]]] = {
    "equations": [
        ("x^2+121=0", "x^2=-121"), ("x^2+121=0", "2x^2+242=0"), ("x^2+121=0", "0=x^2+121"), ("x^2=4", "(x-2)(x+2)=0"),
        ("2x+3y=6", "4x+6y=12"), ("2x+3y=6", r"y=2-\frac{2x}{3}"), ("x^2+y^2=25", "y^2=25-x^2"), ("x=5", "5"),
        ("5", "x=5"), ("x=5", "5=x"), ("xy=1", r"y=\frac1x"), ("5", "3+2=5"), ("y=2x+3", "y=2x+3+0"),
        (r"\frac{x^2}{4}+\frac{y^2}{9}=1", "9x^2+4y^2=36"), ("x>3", "2x>6"), ("3<x", "x>3"), ("1<x<2", "(1,2)"),
        ("x^3=1", "x=1"), ("x=2y", "y=x/2"), ("y=x^2+1", "x^2-y+1=0"), ("2,3", "x=2, x=3"), ("y=2x", "2y=4x"),
        ("x^5+x=1", "x^5+x-1=0"), ("x^5+x=1", "2x^5+2x=2"), ("x+y=1", "2x+2y=2"), ("x<y", "y>x"),
        (r"x\le 3", r"3\ge x"), ("0", "f(2)=0"), ("0", "a+b+c=0"), ("0", "x=0"), ("2<x<5", "5>x>2"),
    ],
    "numbers of all sizes": [
        (r"\frac{1}{2004!}", r"\frac{2005}{2005!}"), ("10^{-20}", r"\frac{1}{10^{20}}"), ("0.00000001", "10^{-8}"),
        ("0.00000001", "1e-8"), (r"\frac{1}{30000}", "0.0000333333"), ("3.141593", r"\pi"), (r"\pi", "3.14159265"),
        (r"\frac{4000\pi}{3}", "4188.79"), ("0.333333", r"\frac13"), ("6.02214076e23", "6.02214e23"),
        ("1e99999999", "10e99999998"), ("100!", r"99! \cdot 100"), ("3^{200}", "9^{100}"), ("10^{100}", "10^{100}"),
        ("6.62607e-34", "6.626070e-34"), ("6.62607015e-34", "6.62607e-34"), ("299792458", "2.99792458e8"),
        ("0.1", "0.1000001"), (r"\sqrt{2}", "1.41421"), (r"\sqrt{2}", "1.41421356"), ("e", "2.71828"),
        (r"\ln 2", "0.693147"), (r"10^{-10}\pi", "3.14159e-10"), ("2.50", "2.5"), ("0.30000000000000004", "0.3"),
        ("1/3", "0.3333333333333333"), ("2/3", "0.6666666666666666"), ("2/3", "0.6666666667"),
        ("100000000000000000000", "1e20"),
    ],
    "e-notation": [
        ("1e-5", "0.00001"), (r"6.02\times10^{23}", "6.02e23"), ("1E16", "10000000000000000"), ("1e+16", "10^{16}"),
        ("1e16", "10^{16}"), (r"1.6 \cdot 10^{-19}", "1.6e-19"), ("1.6 * 10^-19", "1.6E-19"), ("1.5e3", "1500"),
        ("3e8", r"3 \times 10^8"), ("-2.5e-3", "-0.0025"), (1e+16, "10^{16}"), (1e-07, "0.0000001"),
        (r"2.998 \times 10^{8} \text{ m/s}", "2.998e8"), (r"\{1e-5, 2\}", "2, 0.00001"), ("2e-1", "-1+2e"),
        ("1.1e5", "110000"), ("6.02×10^23", "6.02e23"), (r"3.5\times 10^{-9}", "3.5e-09"), ("2.5e-3", "0.0025"),
        (r"-1.6\times10^{-19}", r"-1.6 \times 10^{-19} \text{ C}"), ("5.97e24", r"5.97\times 10^{24}\text{ kg}"),
        ("1.0e1", "10"), ("4.5e33", r"4.5 \times 10^{33}"), ("1e6", "1 million"), (r"7.5 \text{ billion}", "7.5e9"),
    ],
    "words that change a value": [
        (r"5 \text{ million}", "5000000"), (r"5 \text{ million}", "5,000,000"), ("5 million", r"5 \times 10^6"),
        ("5 million", r"5\text{ million}"), ("5000000", "5 million"), ("60", "5 dozen"), ("60", r"5 \text{ dozen}"),
        ("25", "5 squared"), ("125", "5 cubed"), ("120", "5 factorial"), ("5000", "5 thousand"),
        ("1.5 billion", "1500000000"), ("500000", "5 hundred thousand"), ("50", "50 percent"), ("0.5", "50 percent"),
        ("0.5", "50 per cent"), ("2.5", "5 halves"), ("5.5", "5 and a half"), ("5 million", "5 million dollars"),
        ("5000000", "$5 million"), (r"\frac{3}{4}", "3 quarters"), (r"\frac{2}{3}", "2 thirds"),
        ("2 thousand", "2000"), ("5", "5 times"), ("25", "25%"), ("5", "5 pie"), ("5", r"5^{\text{th}}"),
        ("5", r"5\text{th}"), ("5", "5 per cent"),
    ],
    "units": [
        ("5", "5 cm"), ("5", "5cm"), ("5", r"5\,\text{cm}^2"), ("5", r"5 \text{ m/s}"), ("5", "5 meters per second"),
        ("5", r"5\ \mathrm{km}"), ("5", "5 apples"), ("5", "5 people"), ("5", "5 hours"), ("5 cm", "5 centimeters"),
        ("60 mph", "60 miles per hour"), ("9 (apples)", "9"), ("9 (apples)", "9 apples"), (r"2\pi", r"2\pi cm"),
        (r"3\sqrt2", r"3\sqrt2 \text{ units}"), ("12", "12 square units"), ("10", "10 kg"), ("10", r"10~\text{kg}"),
        ("10", r"10 \text{ kg} \cdot \text{m/s}^2"), ("10", "10 ohms"),
    ],
    "units in text, and money": [
        (r"7:30 \text{ p.m.}", "7:30 pm"), (r"7:30 \text{ p.m.}", r"7:30\text{ PM}"), ("7 p.m.", r"7\text{ pm}"),
        ("12 hours", r"\text{12 hours}"), ("5", "€5"), ("5", "5€"), ("5", "£5"), ("5", "¥5"), ("5", r"\$5"),
        ("5", "$5"), ("5", r"\text{\$}5"), ("5", r"\text{€}5"), ("12", r"\text{12 hours}"), ("12", r"\text{12}"),
        ("1000", "€1,000"), ("-5", "-€5"), ("-5", "-$5"), ("5.5", "£5.50"), ("5", "5 euros"), ("5", "USD 5"),
        ("5", "5 USD"), ("5", r"\pounds 5"), ("5", "Rs. 5"), ("5", "₹5"), ("5", r"5\text{€}"), (r"\$18.90", "18.9"),
        ("5", r"\text{Rs } 5"), ("12", r"\mathrm{12\ h}"), ("5", "US$5"), ("12 hours", r"12 \text{ hours}"),
        ("12 hours", "12"), ("12", r"12 \textbf{ hours}"), ("12", r"\text{12 hrs}"), ("100", r"100 \text{ USD}"),
        ("100", r"\text{USD }100"), ("100", "100 $"), ("3.50", r"\$3.50 \text{ per pound}"), ("3.50", "$3.50/hour"),
        ("15", r"15 \text{ miles per hour}"), ("15", r"15\text{mph}"), ("15", r"15 \frac{\text{m}}{\text{s}}"),
        ("15", r"15 \mathrm{~m} / \mathrm{s}"), ("15", r"15 \, \mathrm{m \cdot s^{-1}}"), ("15", "15 m/s^2"),
        ("15", "15 cubic meters"), ("15", "15 m³"), ("15", r"15\text{ cm}^{3}"), ("15", "15 in^2"),
        ("15", "15 sq. ft."), ("15", "15 in."), ("15", "15 lbs."), ("15", "15 °C"), ("15", r"15^{\circ}\mathrm{C}"),
        ("15", "15 eV"), ("15", "15 MeV"), ("15", r"15 \mu m"), ("15", r"15\ \mu\text{m}"), ("15", r"15\,\Omega"),
        ("15", "15 N·m"), ("15", r"15 \text{ years old}"), ("15", "15 students"), ("15", "15 different ways"),
        ("15", "15 red apples"), ("15", "15 bags of rice"), ("$15", "15 dollars"), ("15", "15 bucks"),
    ],
    "short words": [
        ("No", "no"), ("No", r"\text{No}"), ("Yes", "yes"), ("Red", "red"), ("ab", "ba"), ("xy", "yx"),
        ("No", r"\text{no}"), ("no", "No."), ("Up", "up"), ("Joe", "joe"), ("AB", "BA"), ("ABC", "CBA"),
        ("true", "True"), ("(A)", "A"), ("A", r"\text{A}"), ("A", r"\text{(A)}"), ("A", "a"),
    ],
    "what cannot be read whole": [
        ("8", "~8"),
    ],
    "degrees": [
        ("0.5", r"\sin 30^\circ"), ("0.5", r"\sin(30^\circ)"), ("0.5", r"\cos 60^{\circ}"), ("1", r"\tan 45°"),
        ("90", r"90^\circ"), (r"\frac{\sqrt3}{2}", r"\sin 60^\circ"), (r"\frac14", r"\sin 15^\circ \cos 15^\circ"),
        (r"\sin 30^\circ", r"\frac12"), ("0.5", r"\sin 30 degrees"), ("20", r"20^\circ\text{C}"),
        ("0.5", r"\sin(\pi/6)"), (r"0.\overline{3}", "1/3"), (r"0.3\overline{0}", "0.3"),
        (r"0.\overline{36}", "4/11"), (r"1.\overline{6}", r"\frac53"), (r"0.\overline{3}", r"0.\overline{33}"),
        (r"33.\overline{3}\%", r"\frac13"), (r"\cos 60^\circ", "1/2"), (r"\tan 60°", r"\sqrt3"),
        (r"\sin 90^{\circ}", "1"), (r"2\sin 30^\circ", "1"), (r"\cos^2 30^\circ", "0.75"),
        (r"\frac{1}{\sin 30^\circ}", "2"), (r"\csc 30^\circ", "2"), (r"\sin 30^\circ + \cos 60^\circ", "1"),
        (r"\tan(45^\circ)", "1"), (r"45^\circ", "45"), (r"\sin 45^\circ", r"\frac{\sqrt2}{2}"),
        (r"\sin\left(\frac{\pi}{6}\right)", "0.5"),
    ],
    "repeating decimals": [
        (r"\frac13", r"0.\overline{3}"), (r"\frac16", r"0.1\overline{6}"), (r"\frac17", r"0.\overline{142857}"),
        (r"\frac13", r"0.\dot{3}"), (r"\frac13", r"0.\bar{3}"), ("1", r"0.\overline{9}"),
        (r"0.\overline{12}", r"\frac{4}{33}"), (r"2.\overline{36}", r"\frac{26}{11}"), (r"\frac13", "0.(3)"),
        (r"0.\overline{3}", "0.333333"), (r"\frac13", "0.333..."), (r"-\frac13", r"-0.\overline{3}"),
        (r"\frac13", r"0.33\overline{3}"),
    ],
    "sets, lists and tuples": [
        (r"\emptyset", "no solution"), (r"\emptyset", r"\text{no real solutions}"), (r"\emptyset", "The empty set"),
        (r"\emptyset", r"\varnothing"), (r"\emptyset", r"\{\}"), (r"\varnothing", "∅"), (r"\emptyset", r"\{ \}"),
        (r"\mathbb{R}", r"(-\infty,\infty)"), ("1,2", r"\{2,1\}"), ("1,2", "(1,2)"), ("(1,2)", "1,2"),
        ("(1,2)", r"\{1,2\}"), ("1,2,3", "(1,2,3)"), ("(2,1)", "2,1"), ("(1,2),(3,4)", "(3,4),(1,2)"),
        ("3,1,2", "1,2,3"), ("(3,1,2)", "3,1,2"), (r"\{(1,2)\}", "(1,2)"), ("1,1,2", "1,2"), ("x=1,y=2", "y=2,x=1"),
        ("(x,y)=(1,2)", "x=1,y=2"),
    ],
    "plain text": [
        (r"\dfrac{\pi}{2}", "pi/2"), (r"\sqrt2", "sqrt(2)"), (r"2\pi", "2*pi"), (r"2\pi", "2pi"),
        (r"\frac{\sqrt{3}}{2}", "sqrt(3)/2"), ("x^2+1", "x**2+1"), (r"\sqrt{x+1}", "sqrt(x+1)"),
        (r"\infty", "infinity"), (r"\infty", "inf"), (r"2\sqrt{5}", "2√5"), (r"\frac{1+\sqrt5}{2}", "(1+sqrt(5))/2"),
        (r"\sin x", "sin(x)"), (r"\ln 2", "ln(2)"), (r"3\pi/4", "(3*pi)/4"), (r"\pi^2", "pi^2"), ("e^2", "exp(2)"),
        (r"\theta", "theta"), (r"\alpha+1", "1+alpha"), (r"\sqrt2", "2^(1/2)"), ("x^{10}", "x^(10)"),
        (r"\sqrt[3]{2}", "2^(1/3)"), (r"\frac{1}{2}", "1/2"), (r"-\infty", "-inf"), (r"2\sqrt{2}+1", "2*sqrt(2)+1"),
        (r"\ge 5", "≥5"), (r"x \ge 5", "x >= 5"), (r"x\le5", "x<=5"), ("3*x+2", "3x+2"),
        ("sqrt(3)/3", r"\frac{\sqrt{3}}{3}"), ("2*sqrt(3)", r"2\sqrt{3}"), ("(2+sqrt(3))/4", r"\frac{2+\sqrt3}{4}"),
        ("pi", r"\pi"), ("pi*r^2", r"\pi r^2"), ("3pi/4", r"\frac{3\pi}{4}"), ("sqrt2", r"\sqrt{2}"),
        ("sqrt 2", r"\sqrt{2}"), ("√2", r"\sqrt{2}"), ("x^(1/2)", r"\sqrt{x}"), ("e^(2x)", "e^{2x}"),
        ("exp(x)", "e^x"), ("1/(x+1)", r"\frac{1}{x+1}"), ("ln(x)", r"\ln x"), ("cos(pi/3)", "0.5"),
        ("x>=5", r"x\ge5"), ("x!=5", r"x\ne5"), ("(-inf, 2)", r"(-\infty,2)"), ("10**6", "1000000"), ("2^-1", "1/2"),
        ("2^10", "1024"), ("sin(x)^2+cos(x)^2", "1"), ("a_1", "a_{1}"), ("theta", r"\theta"),
        ("pi/2, 3pi/2", r"\frac{\pi}{2}, \frac{3\pi}{2}"),
    ],
    "sequences with dots": [
        (r"1,2,\ldots,n", r"1, 2, \dots, n"), (r"1,2,\ldots,n", "1,2,...,n"),
        (r"1+2+\cdots+n", r"1 + 2 + \cdots + n"), (r"\{1,2,\ldots,10\}", r"\{1,2,\dots,10\}"),
        (r"0,1,\ldots,n-1", r"0,1,\ldots,-1+n"), (r"\{1,3,5,\ldots\}", r"\{1,3,5,\dots\}"),
        (r"a_1,a_2,\ldots,a_n", r"a_1,a_2,\ldots,a_n"), (r"1,4,9,\ldots,n^2", r"1,4,9,\ldots,n\cdot n"),
        ("1,2,...", "1,2,…"),
    ],
    "other": [
        ("3/4", r"P(X=5)=\frac34"), ("5", r"\angle ABC = 5^\circ"), ("(1,2)", "(x,y)=(1,2)"),
        ("5", r"AB=5 \text{ cm}"), ("5", r"\approx 5"), ("1,2", r"x=1 \text{ or } x=2"),
        (r"\pm 2021", "{-2021, 2021}"), ("(1,3)", "{1,3}"),
        (r"\frac{-1\pm\sqrt5}{2}", r"\frac{-1+\sqrt5}{2},\frac{-1-\sqrt5}{2}"), (r"\infty", r"\infty"),
        ("0", r"\lim_{x\to\infty} \frac1x"), ("2:3", "4:6"), ("10", r"\int_0^{10} 1 dx"), ("1.5", r"1\frac12"),
        ("5th", "5"), ("5", "5^{th}"), ("100", "10^2"), ("5", "5.0"), ("5", "+5"), ("5", "--5"), ("1000", "1{,}000"),
        ("0.5", ".5"), ("2x", "x+x"), ("2", r"\frac{2x}{x}"), ("x^2", "x^{2.0}"), ("0.5x", r"\frac{x}{2}"),
        ("e", "E"), ("i", "i"), ("-1", "i^2"), ("1+2i", "2i+1"),
    ],
}  # fmt: skip

WRONG: dict[str, list[tuple[Any, str]]] = {
    "equations": [
        ("x^2+121=0", "0=1"), ("x^2+121=0", "x^2+100=0"), ("e^x+x=0", "e^x+x^2=0"), (r"\sin x = x^2", r"\cos x=x^2"),
        ("x^2=-1", "y^2=-1"), ("2x+3y=6", "2x+3y=7"), ("x^2+y^2=-1", "x^2+y^2=-2"), ("x^2+121=0", "x=x"),
        ("x^2+121=0", "0=0"), ("x^5-x-1=0", "x^5-x-2=0"), ("1", "0=1"), ("x", "x=x"), ("y = x^2", "y=x^2+1"),
        ("0", "43x^2+6=0"), (r"\frac{0}{1}", "x^2-5x+6=0"),
        ("x>3", "x>4"), ("x>3", "-x>-3"), ("x^2<0", "x^2<-1"), ("x^2+1=0", "x^4+1=0"), ("|x|=-1", "|x|=-2"),
        (r"\sin x=0", r"x(x-\pi)=0"), ("x=2", "y=2"), ("x^2-5x+6=0", "x=2 or x=3"), ("y=x+1", "y=x+2"),
        ("x^2+y^2+1=0", "x^2+y^2+2=0"), ("e^x=-1", "e^x=-2"), ("x=x+1", "x=x+2"), ("0x=1", "0x=2"),
        (r"\sqrt{x}=-1", r"\sqrt{x}=-2"), ("x^4+x^2+1=0", "x^4+1=0"), (r"\cos x = x", r"\cos x=x+1"),
        ("x^3+x=5", "x^3+x=6"), ("2^x=x^3", "2^x=x^4"), ("x<y", "x>y"), ("x<3", "x<4"), ("2<x<5", "2<x<6"),
        ("x>1 and x<3", "1<x<3"),
    ],
    "numbers of all sizes": [
        (r"\frac{1}{2004!}", r"\frac{1}{2006!}"), (r"1.6\times 10^{-19}", r"9.1\times 10^{-31}"),
        ("0.00000001", "0.00000002"), ("10^{-20}", "10^{-21}"), ("0", "10^{-9}"), ("0", "0.0000001"),
        ("2^{-100}", "2^{-101}"), ("e^{-50}", "e^{-51}"), (r"10^{-15}\sqrt2", r"10^{-15}\sqrt3"),
        (r"\{10^{-10},1\}", r"\{10^{-11},1\}"), ("(10^{-10},1)", r"(2\cdot10^{-10},1)"), ("10^{30}", "10^{30}+1"),
        ("123456789123456789", "123456789123456790"), ("1234567", "1234568.0"), (r"\frac{1}{30000}", "0.0000333"),
        (r"\pi", "3.14"), ("0.33333", r"\frac13"), ("10^{-20}x", r"2\cdot10^{-20}x"),
        (r"\frac{1}{100!}", r"\frac{1}{99!}"), ("6.02214076e23", "6.02e23"), ("1e-400", "1e-401"),
        ("10^{400}", "10^{401}"), ("1e99999999", "1e99999998"), (r"\frac{1}{10^{50}}", r"\frac{1}{10^{51}}"),
        ("2^{1000}", "2^{1000}+1"), ("100!", "100!+1"), (r"\binom{100}{50}", r"\binom{100}{49}"),
        ("6.626e-34", "6.626070e-34"), ("299792458", "2.998e8"), ("0.000001", "0.000002"), ("1e-7", "0"),
        ("0.0000001", "0"), ("10^{-7}", "0"), (r"\sqrt{2}", "1.4142"), (r"\sqrt2", "1.414213"), ("e", "2.718"),
        ("123456.7", "123456.8"), ("12345678.9", "12345678.8"), ("1000000", "1000001"), ("1000000.1", "1000000.2"),
        ("100000000000000000001", "1e20"),
    ],
    "e-notation": [
        ("1e-5", "0.00002"), ("3e8", "3e9"), ("-2.5e-3", "0.0025"), ("4.5e33", "4.5e33 erg"),
    ],
    "words that change a value": [
        (r"5 \text{ million}", "5"), ("5", "5 million"), ("5", "5 dozen"), ("5", "5 factorial"), ("5", "5 thousand"),
        ("1.5 billion", "1.5"), ("5", "5 and a half"), ("7", "7 trillion"), ("3", "3 quarters"), ("2", "2 thirds"),
        ("2", "2 tenths"), ("2", "2 thousand"), ("3", "3 dozen"), ("3", "three dozen"), ("1/4", "one quarter"),
        ("12", "a dozen"), ("6", "half a dozen"), ("5", "5 tenths"), ("5", "5 score"), ("5", "5 k"), ("5", "5K"),
        ("5", "5M"), ("5", r"5\text{k}"), ("5", "5 percentages"), ("5", "5 ppm"), ("5", "5 o'clock"),
        ("5", "5 and 6"), ("5", "5 or more"), ("5", "at least 5"), ("5", "less than 5"), ("5", "5 +"), ("5", "5-"),
        ("5", ">5"), ("5", "not 5"), ("5", r"\neq 5"), ("5", "-5 units"), ("5", "5 below"), ("5", "5 below zero"),
        ("5", "5 BC"), ("5", "5x"), ("5", "5a"), ("5", "5 ab"), ("5", "5e"), ("5", "5i"), ("5", "5 sqrt(2)"),
        ("5", "5 pi"), ("5", r"5\pi"), ("5", "5 root 2"), ("5", "5 log 2"), ("5", "5 factorials"), ("5", "5 minus"),
        ("5", r"5\text{ minus one}"), ("5", r"5\text{ halves}"), ("5", r"5\text{ squared}"), ("5", "5 ths"),
        ("5", "5 thousandths"), ("5", "5 times 10"), ("5", "5 kilo"), ("5", "5 mega"), ("5", "5 plus"),
        ("5", "5 of 10"), ("5", "5 out of 10"), ("5", "5 to 1"), ("5", "5 in 6"),
    ],
    "units": [
        ("5", "5 halves"), ("5", "5 minus one"), ("5", "5 plus two"), ("5", "5 or so"), ("5", "5 times two"),
        ("5", "5 bananas and 3"), ("5", "5 over two"), ("5", "5 foo"), ("5", "5 less than x"), ("5", "5 more"),
        (r"5\text{ cm}", r"5\text{ m}"), ("5", r"5 \text{ times } 3"), ("5", r"5 \text{ or } 6"),
        ("5", r"5 \text{ if } x>0"), ("5", "5 negative"),
    ],
    "units in text, and money": [
        (r"7:30 \text{ p.m.}", "7:30 am"), ("7 p.m.", r"7\text{ a.m.}"),
        ("5", "-€5"), ("50", "€5"), ("13", r"\text{12 hours}"), ("5", r"\text{cm } 5"),
        ("12", r"\text{approximately } 12"), ("100", r"\text{\textdollar}100"), ("0.15", "15 cents"),
    ],
    "short words": [
        ("No", "On"), ("no", "on"), ("On", "No"), ("Yes", "Sey"), ("odd", "ddo"), ("Red", "dre"), ("is", "si"),
        ("Ann", "Nan"), ("Dan", "And"), ("Tim", "mit"), ("Up", "pu"), ("Ed", "de"), ("Al", "la"),
        (r"\text{no}", "on"), ("True", "False"), ("odd", "even"), ("A", "B"), ("D", "C"), ("yes", "no"),
        ("Yes", "y e s"),
    ],
    "what cannot be read whole": [
        ("8", "not é 8"), ("8", "é8"), ("8", "x y 8 ?"), ("8", "I think 8"), ("8", "8 é"), ("5", "2 3"),
        ("8", "maybe 8"), ("8", "7, 8"), ("8", "8 or 9"), ("8", r"\foo{8}"), ("8", "8)"), ("8", "( 8"), ("8", "so 8"),
        ("8", "8 8"), ("8", "ß 8"), ("8", "№ 8"), ("8", r"\text{not } 8"), ("0.36", "1.2.3"),
    ],
    "degrees": [
        ("0.5", r"\sin 30"), ("0.5", r"\sin 60^\circ"), (r"0.\overline{3}", r"0.\overline{34}"),
        ("0.333", r"0.\overline{3}"), (r"45^\circ", r"\frac{\pi}{4}"), (r"\sin(30)", "0.5"),
    ],
    "repeating decimals": [
        (r"\frac13", r"0.\overline{4}"), (r"0.\overline{3}", "0.3"),
    ],
    "sets, lists and tuples": [
        (r"\emptyset", "0"), (r"\emptyset", r"\{0\}"), (r"\{0\}", r"\emptyset"), (r"\emptyset", r"\{\emptyset\}"),
        (r"\mathbb{R}", r"\mathbb{Z}"), (r"\emptyset", r"\{x\}"), ("1,2", "(2,1)"), ("(1,2)", "2,1"),
        ("[1,2]", "1,2"), ("(1,2)", "[1,2]"), ("1,2,3", "(3,2,1)"), (r"\{1,2\}", "(2,1)"), ("(2,1)", "1,2"),
        ("(1,2),(3,4)", "(1,4),(3,2)"), ("(1,2),(3,4)", "(2,1),(4,3)"), ("[1,2]", "(1,2)"), ("[1,2]", "[1,2)"),
        ("[1,2]", "[2,1]"), ("(3,1,2)", "1,2,3"), ("x=1,y=2", "x=2,y=1"),
    ],
    "plain text": [
        (r"\frac{\pi}{3}", "pi/2"), (r"\ln 2", "log(2)"), ("pie", "pi"), ("1/x+1", r"\frac{1}{x+1}"),
        ("-oo", r"-\infty"), ("binom(5,2)", "10"),
    ],
    "sequences with dots": [
        (r"1, 2, \ldots, n", r"1, 3, 5, \ldots, 2n-1"), (r"1,2,\ldots,n", "1,2,n"), (r"1+2+\cdots+n", "1+2+n"),
        (r"\{1,2,\ldots,10\}", r"\{1,2,\dots,9\}"), (r"2,4,6,\ldots", r"2,4,8,\ldots"), (r"2,4,6,\ldots", "2,4,6"),
        ("1,2,n", r"1,2,\ldots,n"), (r"1,4,9,\ldots,n^2", r"1,4,9,\ldots,n^3"), (r"1,2,3,\ldots", "1,2,3"),
        (r"1\cdot 2\cdots n", r"1\cdot 2\cdot n"), (r"x_1+\cdots+x_n", "x_1+x_n"),
    ],
    "other": [
        ("5", "1,5"), ("5", "nan"), ("5", r"\frac{5}{0}"), ("5", r"\frac00"), ("5", r"\infty"),
        (r"\infty", r"\frac10"), ("0", r"\frac{0}{0}"), ("5", "x"), ("x", "y"), ("5", r"(-\infty,\infty)"),
        ("[0,1]", r"(-\infty,\infty)"), ("2:3", "3:2"), ("5", r"\boxed{5}"), ("23", r"2\,3"), ("x+10^{-60}", "x"),
        (r"\sqrt2+10^{-100}", r"\sqrt2"), ("|x|", "x"), ("i", "-i"), ("2.5 m", "250 cm"),
    ],
}  # fmt: skip

UNREADABLE = ["not é 8", "8 é", "2 3", "8 8", "8)", "1.2.3", r"\frac{5}{0}", r"\frac00", "nan", r"\foo{8}", "x ="]


def rows(table: dict[str, list[tuple[Any, str]]]) -> list[object]:
    return [pytest.param(*pair, id=f"{name} {n}") for name, pairs in table.items() for n, pair in enumerate(pairs)]


@pytest.mark.parametrize(("gold", "answer"), rows(RIGHT))
def test_right(gold: Any, answer: str) -> None:
    assert equivalent(answer, gold_answer(gold))


@pytest.mark.parametrize(("gold", "answer"), rows(WRONG))
def test_wrong(gold: Any, answer: str) -> None:
    try:
        assert not equivalent(answer, gold_answer(gold))
    except Unparsable:
        pass


@pytest.mark.parametrize("answer", UNREADABLE)
def test_no_part_of_an_answer_is_taken_for_it(answer: str) -> None:
    with pytest.raises(Unparsable):
        equivalent(answer, "8")


@pytest.mark.parametrize(
    ("response", "gold"),
    [
        ("Final Answer: The largest $n$ is $34$.", "34"),
        ("The answers are $5$ and $9$.", r"\{5,9\}"),
        ("Final answer: the largest n is 34.", "34"),
        ("**Final Answer:** The value of $x$ is $\\frac{1}{2}$, as required.", "0.5"),
        ("Answer: $34$ is the largest $n$.", "34"),
        ("Answer: the sum of $2$ and $3$ is 5.", "5"),
        ("The answer is $5$ or $9$.", r"\{5,9\}"),
        ("The answer is 5 or 9.", "9, 5"),
        ("The answer is $x=5$ and $y=6$.", "x=5, y=6"),
        ("The answer is approximately 3.14.", "3.14"),
        ("The answer is approximately equal to 2.5.", "2.5"),
        ("The answer is about $3.14$", "3.14"),
        ("The answer is therefore 7", "7"),
        ("The answer is 5, because 2+3=5.", "5"),
        ("The answer is $5$, because $2+3=5$.", "5"),
        ("The answer is 5 since it is odd.", "5"),
        ("The answer is: 5, which is odd.", "5"),
        ("The answer is 5; this is it", "5"),
        ("The answer is 5 (five).", "5"),
        ("The answer is 12 apples.", "12"),
        (r"\boxed{5} so \boxed{}", "5"),
        (r"\boxed{5}, and then \boxed{ }.", "5"),
        (r"\boxed 42.", "42"),
        (r"$\boxed5$", "5"),
        (r"\boxed \frac{1}{2}", "0.5"),
    ],
)
def test_the_answer_of_a_sentence(response: str, gold: str) -> None:
    assert equivalent(extract_answer(response, "marked") or "", gold)


@pytest.mark.parametrize("gold", ["5", "9", "34"])
def test_of_several_candidates_none_is_picked(gold: str) -> None:
    assert not equivalent(extract_answer("The answer is $5$ or $9$ or $34$.", "marked") or "", gold)
