"""Catalogue of datasets: package, item, target and group of each, selected manually.

Excluded in advance: synthetic data (banana, ringnorm, twonorm, led7digit, monks, hayes-roth, car, poker, chess
endgames, tic-tac-toe, MAGIC's simulated showers, everything called `sim` or `fake`), contingency tables, and most panel
data, where rows of one person or state with the same target would be on both sides of a fold.

The fields of a line are name, source, item, target, group, and excluded columns, which are identifiers, restate the
target, or are only known after it. Datasets of one origin share a group, and a group is never split between training
and test. The group `-` stands for the name.
"""

from dataclasses import dataclass

_LINES = """
iris                  sklearn   iris                    target       -
wine                  sklearn   wine                    target       -
breast_cancer         sklearn   breast_cancer           target       -
digits                sklearn   digits                  target       -
phishing              river     phishing.csv.gz         is_phishing  -
shuttle               river     shuttle.csv.gz          anomaly      shuttle
bank_jobs             R         AER/BankWages           job          -
cps1985_occupation    R         AER/CPS1985             occupation   -
cps1988_parttime      R         AER/CPS1988             parttime     -
cps2004_degree        R         AER/CPSSW04             degree       -
college_income        R         AER/CollegeDistance     income       -
credit_card           R         AER/CreditCard          card         -            share,expenditure
equation_journals     R         AER/EquationCitations   journal      -            authors
morekids              R         AER/Fertility2          morekids     -
gsoep_school          R         AER/GSOEP9402           school       -
hmda_deny             R         AER/HMDA                deny         boston_mortgages
health_insurance      R         AER/HealthInsurance     insurance    -
windsor_aircon        R         AER/HousePrices         aircon       -
medicaid_program      R         AER/Medicaid1986        program      -
nmes_insurance        R         AER/NMES1988            insurance    -
mroz_participation    R         AER/PSID1976            participation - hours,wage,repwage
psid_occupation       R         AER/PSID1982            occupation   -
smoke_ban             R         AER/SmokeBan            smoker       -
swiss_participation   R         AER/SwissLabor          participation -
cardio_procedure      R         COUNT/azpro             procedure    -            hospital
medpar_died           R         COUNT/medpar            died         -            provnum
rwm_outwork           R         COUNT/rwm1984           outwork      -
loomis_travel         R         COUNT/loomis            travel       -            travel1,travel2,travel3
low_birth_weight      R         COUNT/lbw               low          -            bwt
mdvis_bad_health      R         COUNT/mdvis             badh         -
athletes_sport        R         DAAG/ais                sport        -
cuckoos               R         DAAG/cuckoos            species      -            id
dengue                R         DAAG/dengue             NoYes        -
frogs                 R         DAAG/frogs              pres.abs     -
head_injury           R         DAAG/headInjury         clinically.important.brain.injury -
leaf_shape            R         DAAG/leafshape          arch         -
mifem_outcome         R         DAAG/mifem              outcome      monica
monica_outcome        R         DAAG/monica             outcome      monica
crash_impact          R         DAAG/nassCDS            dvcat        -            caseid
nsw_psid              R         DAAG/nsw74psid1         trt          lalonde
lalonde               R         MatchIt/lalonde         treat        lalonde
possum_population     R         DAAG/possum             Pop          -            case,site
benefits_ui           R         Ecdat/Benefits          ui           -
belgian_education     R         Ecdat/Bwages            educ         -
computers_cd          R         Ecdat/Computers         cd           -
catsup                R         Ecdat/Catsup            choice       scanner      id
crackers              R         Ecdat/Cracker           choice       scanner      id
yogurt                R         Ecdat/Yogurt            choice       scanner      id
australian_insurance  R         Ecdat/DoctorAUS         insurance    -
rand_limits           R         Ecdat/DoctorContacts    physlim      -
diamond_certificate   R         Ecdat/Diamond           certification -
fishing_mode          R         Ecdat/Fishing           mode         -            price,catch
wives_insurance       R         Ecdat/HI                whi          -
heating               R         Ecdat/Heating           depvar       -            idcase
kakadu                R         Ecdat/Kakadu            answer       -
math_level            R         Ecdat/Mathlevel         mathlevel    -
travel_mode           R         Ecdat/Mode              choice       -
natural_park          R         Ecdat/NaturalPark       answers      -
tobacco_occupation    R         Ecdat/Tobacco           occupation   -
train_choice          R         Ecdat/Train             choice       -            id,choiceid
unemployed_ui         R         Ecdat/UnempDur          ui           -
unemployment_reason   R         Ecdat/Unemployment      reason       -
vietnam_farm          R         Ecdat/VietNamH          farm         -            commune
working_hours         R         Ecdat/Workinghours      occupation   -
budget_children       R         Ecdat/BudgetUK          children     -
egyptian_skulls       R         HSAUR/skulls            epoch        -
galton_gender         R         HistData/GaltonFamilies gender       -            family,childNum
auto_origin           R         ISLR/Auto               origin       -            name
carseats_shelf        R         ISLR/Carseats           ShelveLoc    -
college_private       R         ISLR/College            Private      -
credit_default        R         ISLR/Default            default      -
orange_juice          R         ISLR/OJ                 Purchase     -
wage_insured          R         ISLR/Wage               health_ins   wage         logwage
wage_education        R         ISLR/Wage               education    wage         logwage
std_infection         R         KMsurv/std              iinfct       -            obs
aids_status           R         MASS/Aids2              status       -            death
cars93_drive          R         MASS/Cars93             DriveTrain   -            Manufacturer,Model,Make
cats_sex              R         MASS/cats               Sex          -
crabs_sex             R         MASS/crabs              sex          -            index
students_sex          R         MASS/survey             Sex          -
blue_jays             R         Stat2Data/BlueJays      KnownSex     -            BirdID,Sex
caterpillars          R         Stat2Data/Caterpillars  Instar       -
diamonds2_color       R         Stat2Data/Diamonds2     Color        -
faces_sex             R         Stat2Data/FaithfulFaces FaceSex      -
flight_response       R         Stat2Data/FlightResponse Flight      -            FlockID
hawks                 R         Stat2Data/Hawks         Species      -            BandNumber
hoops                 R         Stat2Data/Hoops         WinLoss      -            Game,PtDiff,OppPoint,GrPoint
insurance_vote        R         Stat2Data/InsuranceVote InsVote      -            Rep,Dem,Dist.
kershaw_pitches       R         Stat2Data/Kershaw       PitchType    -            BatterNumber,Time,Batter
levees                R         Stat2Data/LeveeFailures Failure      -
math_success          R         Stat2Data/MathPlacement CourseSuccess -           Student,Grade
carolina_low_weight   R         Stat2Data/NCbirths      Low          -            ID,BirthWeightOz,BirthWeightGm
commute_city          R         Stat2Data/MetroCommutes City         -
pulse_sex             R         Stat2Data/Pulse         Sex          -
china_suicides        R         Stat2Data/SuicideChina  Died         -            Person_ID
car_types             R         Stat2Data/ThreeCars2017 CarType      -            Mazda6,Accord,Maxima
walk_the_dogs         R         Stat2Data/WalkTheDogs   Walk         -
whickham              R         Stat2Data/Whickham2     Outcome      -            Alive
youth_alcohol_ride    R         Stat2Data/YouthRisk2007 ride.alc.driver -
titanic_passengers    R         vcdExtra/Titanicp       survived     titanic
liver_cancer_death    R         asaur/hepatoCellular    Death        -            Number,OS,RFS,Recurrence
smoking_relapse       R         asaur/pharmacoSmoking   relapse      -            id,ttr
arrests_released      R         carData/Arrests         released     -
british_vote          R         carData/BEPS            vote         -
canada_abortion       R         carData/CES11           abortion     -            id
chile_vote            R         carData/Chile           vote         -
cowles_volunteer      R         carData/Cowles          volunteer    -
davis_sex             R         carData/Davis           sex          -
refugees_decision     R         carData/Greene          decision     -
minneapolis_stops     R         carData/MplsStops       problem      -            idNum,date
rossi_arrest          R         carData/Rossi           arrest       -            week,@emp
salaries_rank         R         carData/Salaries        rank         -
un_group              R         carData/UN              group        united_nations region
un98_region           R         carData/UN98            region       united_nations
wvs_country           R         carData/WVS             country      wvs
wvs_poverty           R         carData/WVS             poverty      wvs
wells_switch          R         carData/Wells           switch       -
women_labour          R         carData/Womenlf         partic       -
prestige_type         R         carData/Prestige        type         -
interlocks_nation     R         carData/Ornstein        nation       -
adult_services        R         causaldata/adult_services unsafe     -            id
weather_insurance     R         causaldata/social_insure takeup_survey -          address,village
nhefs_death           R         causaldata/nhefs_complete death      -            seqn,yrdth,modth,dadth
hiv_results           R         causaldata/thornton_hiv got          -            villnum
college_degree        R         causaldata/scorecard    pred_degree_awarded_ipeds - unitid,inst_name
plant_woody           R         cluster/plantTraits     lign         -
infertility           R         datasets/infert         case         -            stratum,pooled.stratum
air_quality_month     R         datasets/airquality     Month        -            Day
olive_area            R         dslabs/olive            area         -            region
mice_diet             R         dslabs/mice_weights     diet         -
gapminder_continent   R         dslabs/gapminder        continent    -            country,region
storm_status          R         dplyr/storms            status       -            name,category
respiratory_outcome   R         geepack/respiratory     outcome      -            id
diamonds_cut          R         ggplot2/diamonds        cut          diamonds
diamonds_clarity      R         ggplot2/diamonds        clarity      diamonds
midwest_metro         R         ggplot2/midwest         inmetro      -            PID,county
mpg_drive             R         ggplot2/mpg             drv          epa          model
movies_drama          R         ggplot2movies/movies    Drama        -            title
ontario_towns         R         gt/towny                csd_type     -            name,website,status
reaven_diabetes       R         heplots/Diabetes        group        -
football_heads        R         heplots/FootHead        group        -
big_five_group        R         heplots/Iwasaki_Big_Five Group       -            ID
neuro_cognition       R         heplots/NeuroCog        Dx           neuro_cognition
social_cognition      R         heplots/SocialCog       Dx           neuro_cognition
oslo_rock             R         heplots/Oslo            litho        -            site,XC,YC
tipi_married          R         heplots/TIPI            married      -
bees_caste            R         heplots/Bees            caste        -
verbal_aggression     R         lme4/VerbAgg            r2           -            id,resp
framing_message       R         mediation/framing       cong_mesg    -
prostate_recurrence   R         medicaldata/blood_storage Recurrence -            TimeToRecurrence,Censor
pancreatitis          R         medicaldata/indo_rct    outcome      -            id
streptomycin          R         medicaldata/strep_tb    improved     -            patient_id,rad_num,radiologic_6m
mothers_education     R         mi/nlsyV                momed        -
bangladesh_use        R         mlmRev/Contraception    use          -            woman,district
high_school_minority  R         mlmRev/Hsb82            minrty       -            school
guatemala_immunised   R         mlmRev/guImmun          immun        guatemala    kid,mom,comm
guatemala_prenatal    R         mlmRev/guPrenat         prenat       guatemala    kid,mom,cluster
gcse_gender           R         mlmRev/Gcsemv           gender       -            school,student
alzheimer             R         modeldata/ad_data       Class        -
ames_building         R         modeldata/ames          Bldg_Type    -            MS_SubClass
attrition             R         modeldata/attrition     Attrition    -
cylinders             R         modeldata/car_prices    Cylinder     -
cell_segmentation     R         modeldata/cells         class        -            case
credit_status         R         modeldata/credit_data   Status       -
liver_injury          R         modeldata/hepatic_injury_qsar class  -
hotel_segment         R         modeldata/hotel_rates   market_segment -
computing_jobs        R         modeldata/hpc_data      class        -
stroke                R         modeldata/ischemic_stroke stroke     -
leaf_outline     R modeldata/leaf_id_flavia shape - species,apex,base,@denate,@lobed,@smooth,@toothed,@undulate
loan_term             R         modeldata/lending_club  term         lending_club
phone_churn           R         modeldata/mlc_churn     churn        -
parkinson_speech      R         modeldata/pd_speech     class        -
scat                  R         modeldata/scat          Species      -
open_source           R         modeldata/stackoverflow OpenSource   -
hormone_toxicity      R         modeldata/steroidogenic_toxicity class -
telco_churn           R         modeldata/wa_churn      churn        -
help_substance        R         mosaicData/HELPrct      substance    help         id
help_homeless         R         mosaicData/HELPrct      homeless     help         id
saratoga_air          R         mosaicData/SaratogaHouses centralAir saratoga
saratoga_fuel         R         mosaicData/SaratogaHouses fuel       saratoga
weather_city          R         mosaicData/Weather      city         -            date
ten_mile_sex          R         mosaicData/TenMileRace  sex          -
soybean_variety       R         nlme/Soybean            Variety      -            Plot
flight_carrier        R         nycflights13/flights    carrier      -            tailnum,flight,time_hour,year
acs_employment        R         openintro/acs12         employment   -
body_sex              R         openintro/bdims         sex          -
cpu_company           R         openintro/cpu           company      -            name,codename
email_spam            R         openintro/email         spam         -
epa_drive             R         openintro/epa2021       drive_sys    epa drive_desc,@model,@mfr,@division,@carline
fastfood              R         openintro/fastfood      restaurant   -            item
high_school_program   R         openintro/hsb2          prog         -            id
loan_home             R         openintro/loans_full_schema homeownership lending_club
mariokart_condition   R         openintro/mariokart     cond         -            id,title
baseball_winners      R         openintro/mlb_teams     division_winner - rank,@wild,@league_winner,@world
sat_sex               R         openintro/satgpa        sex          -
uk_smoking            R         openintro/smoking       smoke        -            type,@amt
speed_gender          R         openintro/speed_gender_height gender -
yrbss_gender          R         openintro/yrbss         gender       -
penguin_species       R         palmerpenguins/penguins species      penguins
penguin_sex           R         palmerpenguins/penguins sex          penguins
rice_region           R         plm/RiceFarms           region       -            id
political_information R         pscl/politicalInformation y          -            id
vote92                R         pscl/vote92             vote         -
bfi_gender            R         psych/bfi               gender       -
rodent_sex            R         ratdat/surveys          sex          -            record_id
tips_time             R         reshape2/tips           time         -            day
kyphosis              R         rpart/kyphosis          Kyphosis     -
prostate_stage_c      R         rpart/stagec            pgstat       -            pgtime
car_summary_type      R         rpart/cu.summary        Type         -
ability_school        R         sem/HS.data             school       -            id
trump_vote            R         stevedata/TV16          votetrump    -            uid
abortion_opinion      R         stevedata/gss_abortion  abany        -            id
gss_gender            R         stevedata/gss_wages     gender       -
nhis_insurance        R         stevedata/mm_nhis       hi           -
register_to_vote      R         stevedata/Dee04         register     -            schoolid
light_chain_death     R         survival/flchain        death        -            futime,chapter
breast_rotterdam      R         survival/rotterdam      death        -            pid,rtime,dtime,recur
cirrhosis_status      R         survival/pbc            status       -            id,time
mgus_death            R         survival/mgus2          death        -            id,ptime,pstat,futime
nafld_sex             R         survival/nafld1         male         -            id,case.id,futime,status
wilms_relapse         R         survival/nwtco          rel          -            seqno,edrel
mice_radiation        R         survival/hoel           outcome      -            id
mobility_occupation   R         survival/logan          occupation   -
liver_dose            R         texmex/liver            dose         -
baseball_position     R         vcd/Hitters             Positions    -
donner_party          R         vcdExtra/Donner         survived     -            death
air_crashes           R         vcdExtra/AirCrash       Cause        -
intensive_care        R         vcdExtra/ICU            died         -
"""


@dataclass(frozen=True)
class Entry:
    """Dataset of the catalogue."""

    name: str
    source: str
    """Key of `datasets.SOURCES`."""
    item: str
    """Name in its source."""
    target: str
    group: str
    unused: tuple[str, ...]
    """Excluded columns; `@text` stands for all columns whose names begin with the text."""


def catalogue() -> tuple[Entry, ...]:
    """Return all entries in the order of the table above."""
    entries = []
    for line in filter(None, map(str.strip, _LINES.splitlines())):
        name, source, item, target, group, *rest = line.split()
        unused = tuple(rest[0].split(",")) if rest else ()
        entries.append(Entry(name, source, item, target, name if group == "-" else group, unused))
    return tuple(entries)
