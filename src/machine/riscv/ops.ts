/**
 * The instructions of RV64IMAFD_Zicsr_Zifencei that a user program sees, as dense small integers:
 * an index into tables and the cases of a jump table. Compressed instructions have no numbers of
 * their own (decode-compressed.ts).
 */

// RV32I/RV64I upper immediates and jumps
export const OP_ILLEGAL = 0;
export const OP_LUI = 1;
export const OP_AUIPC = 2;
export const OP_JAL = 3;
export const OP_JALR = 4;

// Branches
export const OP_BEQ = 5;
export const OP_BNE = 6;
export const OP_BLT = 7;
export const OP_BGE = 8;
export const OP_BLTU = 9;
export const OP_BGEU = 10;

// Loads
export const OP_LB = 11;
export const OP_LH = 12;
export const OP_LW = 13;
export const OP_LD = 14;
export const OP_LBU = 15;
export const OP_LHU = 16;
export const OP_LWU = 17;

// Stores
export const OP_SB = 18;
export const OP_SH = 19;
export const OP_SW = 20;
export const OP_SD = 21;

// Register-immediate; the shift amount is in `imm`
export const OP_ADDI = 22;
export const OP_SLTI = 23;
export const OP_SLTIU = 24;
export const OP_XORI = 25;
export const OP_ORI = 26;
export const OP_ANDI = 27;
export const OP_SLLI = 28;
export const OP_SRLI = 29;
export const OP_SRAI = 30;
export const OP_ADDIW = 31;
export const OP_SLLIW = 32;
export const OP_SRLIW = 33;
export const OP_SRAIW = 34;

// Register-register
export const OP_ADD = 35;
export const OP_SUB = 36;
export const OP_SLL = 37;
export const OP_SLT = 38;
export const OP_SLTU = 39;
export const OP_XOR = 40;
export const OP_SRL = 41;
export const OP_SRA = 42;
export const OP_OR = 43;
export const OP_AND = 44;
export const OP_ADDW = 45;
export const OP_SUBW = 46;
export const OP_SLLW = 47;
export const OP_SRLW = 48;
export const OP_SRAW = 49;

// System. CSRR*I carry the 5-bit immediate in `rs1`
export const OP_FENCE = 50;
export const OP_FENCE_I = 51;
export const OP_ECALL = 52;
export const OP_EBREAK = 53;
export const OP_CSRRW = 54;
export const OP_CSRRS = 55;
export const OP_CSRRC = 56;
export const OP_CSRRWI = 57;
export const OP_CSRRSI = 58;
export const OP_CSRRCI = 59;

// M
export const OP_MUL = 60;
export const OP_MULH = 61;
export const OP_MULHSU = 62;
export const OP_MULHU = 63;
export const OP_DIV = 64;
export const OP_DIVU = 65;
export const OP_REM = 66;
export const OP_REMU = 67;
export const OP_MULW = 68;
export const OP_DIVW = 69;
export const OP_DIVUW = 70;
export const OP_REMW = 71;
export const OP_REMUW = 72;

// A, 32 bits
export const OP_LR_W = 73;
export const OP_SC_W = 74;
export const OP_AMOSWAP_W = 75;
export const OP_AMOADD_W = 76;
export const OP_AMOXOR_W = 77;
export const OP_AMOAND_W = 78;
export const OP_AMOOR_W = 79;
export const OP_AMOMIN_W = 80;
export const OP_AMOMAX_W = 81;
export const OP_AMOMINU_W = 82;
export const OP_AMOMAXU_W = 83;

// A, 64 bits, in the same order: op_D = op_W + 11
export const OP_LR_D = 84;
export const OP_SC_D = 85;
export const OP_AMOSWAP_D = 86;
export const OP_AMOADD_D = 87;
export const OP_AMOXOR_D = 88;
export const OP_AMOAND_D = 89;
export const OP_AMOOR_D = 90;
export const OP_AMOMIN_D = 91;
export const OP_AMOMAX_D = 92;
export const OP_AMOMINU_D = 93;
export const OP_AMOMAXU_D = 94;

// F and D memory
export const OP_FLW = 95;
export const OP_FLD = 96;
export const OP_FSW = 97;
export const OP_FSD = 98;

// F
export const OP_FMADD_S = 99;
export const OP_FMSUB_S = 100;
export const OP_FNMSUB_S = 101;
export const OP_FNMADD_S = 102;
export const OP_FADD_S = 103;
export const OP_FSUB_S = 104;
export const OP_FMUL_S = 105;
export const OP_FDIV_S = 106;
export const OP_FSQRT_S = 107;
export const OP_FSGNJ_S = 108;
export const OP_FSGNJN_S = 109;
export const OP_FSGNJX_S = 110;
export const OP_FMIN_S = 111;
export const OP_FMAX_S = 112;
export const OP_FLE_S = 113;
export const OP_FLT_S = 114;
export const OP_FEQ_S = 115;
export const OP_FCLASS_S = 116;
export const OP_FCVT_W_S = 117;
export const OP_FCVT_WU_S = 118;
export const OP_FCVT_L_S = 119;
export const OP_FCVT_LU_S = 120;
export const OP_FCVT_S_W = 121;
export const OP_FCVT_S_WU = 122;
export const OP_FCVT_S_L = 123;
export const OP_FCVT_S_LU = 124;
export const OP_FMV_X_W = 125;
export const OP_FMV_W_X = 126;

// D, in the same order: op_D = op_S + OP_D_FROM_S
export const OP_FMADD_D = 127;
export const OP_FMSUB_D = 128;
export const OP_FNMSUB_D = 129;
export const OP_FNMADD_D = 130;
export const OP_FADD_D = 131;
export const OP_FSUB_D = 132;
export const OP_FMUL_D = 133;
export const OP_FDIV_D = 134;
export const OP_FSQRT_D = 135;
export const OP_FSGNJ_D = 136;
export const OP_FSGNJN_D = 137;
export const OP_FSGNJX_D = 138;
export const OP_FMIN_D = 139;
export const OP_FMAX_D = 140;
export const OP_FLE_D = 141;
export const OP_FLT_D = 142;
export const OP_FEQ_D = 143;
export const OP_FCLASS_D = 144;
export const OP_FCVT_W_D = 145;
export const OP_FCVT_WU_D = 146;
export const OP_FCVT_L_D = 147;
export const OP_FCVT_LU_D = 148;
export const OP_FCVT_D_W = 149;
export const OP_FCVT_D_WU = 150;
export const OP_FCVT_D_L = 151;
export const OP_FCVT_D_LU = 152;
export const OP_FMV_X_D = 153;
export const OP_FMV_D_X = 154;

// Between F and D
export const OP_FCVT_S_D = 155;
export const OP_FCVT_D_S = 156;

/** How many there are. */
export const OP_COUNT = 157;
/** From a single-precision operation to its double-precision twin. */
export const OP_D_FROM_S = 28;
/** From a 32-bit atomic to its 64-bit twin. */
export const OP_ATOMIC_D_FROM_W = 11;
